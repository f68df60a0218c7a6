package area

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ipfs/boxo/ipns"

	"trunkline/caps"
)

// Replicas is how many keys of the DHT hold each layer of a record: whoever
// wants to hide it must surround all of them.
const Replicas = 4

// Kind is the first part of the DHT's keys for area records, for
// [p2p.Config.Records].
const Kind = "area"

// RecordKey returns the i-th DHT key of the record that name's key signed:
// the grid's name for the delegation, the delegate's for the sheet.
func RecordKey(i int, name caps.PublicKey) string {
	return fmt.Sprintf("/%s/%d/%s", Kind, i, caps.NewAreaCode(name))
}

// Validator checks both layers of area records in the DHT, each under its own
// signer's name. It is a [p2p.RecordValidator].
type Validator struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Validate accepts a valid delegation or contact sheet signed by the key that
// key names.
func (v Validator) Validate(key string, value []byte) error {
	name, err := parseRecordKey(key)
	if err != nil {
		return err
	}
	now := time.Now //nolint:forbidigo // the default of an injected clock
	if v.Now != nil {
		now = v.Now
	}
	s, err := open(name.Key(), value, MaxSheetRecord, now())
	if err != nil {
		return err
	}
	if s.record.MetadataExists(sheetKey) {
		_, err = s.sheet()
		return err
	}
	if len(value) > MaxDelegation {
		return fmt.Errorf("a delegation of %d bytes, at most %d are allowed: %w", len(value), MaxDelegation, ErrTooLarge)
	}
	_, err = s.delegation(name)
	return err
}

// Select prefers the higher sequence number, then the later end of life, then
// the larger bytes, as IPNS does.
func (v Validator) Select(_ string, values [][]byte) (int, error) {
	if len(values) == 0 {
		return 0, errors.New("no records to choose from")
	}
	i, err := ipns.Validator{}.Select("", values)
	if err != nil {
		return 0, fmt.Errorf("choosing among area records: %w", err)
	}
	return i, nil
}

// parseRecordKey reads "/area/<i>/<name>" in its one spelling.
func parseRecordKey(key string) (caps.AreaCode, error) {
	rest, ok := strings.CutPrefix(key, "/"+Kind+"/")
	if !ok || len(rest) < 3 || rest[0] < '0' || rest[0] >= '0'+Replicas || rest[1] != '/' {
		return caps.AreaCode{}, fmt.Errorf("not the key of an area record: %w", ErrMalformed)
	}
	name, err := caps.ParseAreaCode(rest[2:])
	if err != nil {
		return caps.AreaCode{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return name, nil
}
