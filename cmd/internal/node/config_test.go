package node

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

const (
	someArea    = "k51qzi5uqu5dl87e8c1jcwxfryxswqzmpoli9zn91c2h6jn95pbzdwlxqka6xs"
	someManager = "pub-v0-z26awif4gbndddzya7dn25xlmgv2humqodas2gge2rxcgf362kla"
	somePeer    = "/ip4/192.0.2.7/tcp/4001/p2p/12D3KooWDovZoyBx96vGMFerJA1Z75ygzYvrBcgY7AmQ53pB2VTT"
)

// What Write writes reads back as the same, whatever the texts in it.
func TestConfigRoundTrip(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Config){
		"default":    func(*Config) {},
		"quotes":     func(c *Config) { c.Name = `back\slash and "quotes" and 'more'` },
		"unicode":    func(c *Config) { c.Name = "Dachboden über Ω 😀" },
		"braces":     func(c *Config) { c.Name = "{roles} {{.Name}} {area}" },
		"hash":       func(c *Config) { c.Name = "# no comment" },
		"odd_folder": func(c *Config) { c.Storage.Dir = "a\tb\nc\x01\x7f\u0085" },
		"everything": func(c *Config) {
			*c = Config{
				Name: "all", Roles: slices.Clone(allRoles), Listen: []string{"/ip4/127.0.0.1/tcp/1", "/ip6/::1/udp/2/quic-v1"},
				AllowPrivateAddresses: true, Bootstrap: []string{somePeer},
				Grid:   GridConfig{Area: someArea, Manager: somePeer},
				Client: ClientConfig{Needed: 1, Happy: 2, Total: 3, SegmentSize: 4096, Mutable: "mdmf"},
				Web:    WebConfig{Listen: "[::1]:80", Ceiling: "0.5"},
				Storage: StorageConfig{
					Dir: "/srv/shares", ReadOnly: true, ReservedBytes: 1<<63 - 1, MaxBytes: 7, NoSync: true,
					NodeID: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
				},
				Gateway: GatewayConfig{PriceCeiling: "1.5", LookupCeiling: "0", DenyAreas: []string{someArea}, AllowAreas: []string{someArea}},
				Tahoe:   TahoeConfig{NodeDir: "/home/x/.tahoe", ServersFile: "s.yaml", GridManagers: []string{someManager}},
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := DefaultConfig()
			c.Roles, c.Bootstrap, c.Gateway.DenyAreas, c.Gateway.AllowAreas = []Role{RoleClient}, []string{}, []string{}, []string{}
			c.Tahoe.GridManagers = []string{}
			change(&c)
			before := c
			before.Listen = slices.Clone(c.Listen)
			path := filepath.Join(t.TempDir(), "trunkline.toml")
			if err := c.Write(path); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(c, before) {
				t.Errorf("writing changed the configuration to %+v", c)
			}
			got, err := ReadConfig(path)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, c) {
				t.Errorf("wrote %+v\nread  %+v", c, got)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
		})
	}
}

// The file names every key there is, with a comment near it, and has no placeholder left.
func TestConfigTextIsComplete(t *testing.T) {
	t.Parallel()
	text := DefaultConfig().text()
	if i := strings.IndexAny(text, "{}"); i >= 0 {
		t.Errorf("something was not filled in: %q", text[i:])
	}
	raw, err := toml.Marshal(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	keys := 0
	for line := range strings.Lines(string(raw)) {
		key, _, ok := strings.Cut(line, " = ")
		if !ok {
			key = strings.TrimSpace(line)
		}
		if key == "" {
			continue
		}
		keys++
		if !strings.Contains(text, "\n"+key) {
			t.Errorf("the file does not name %s", key)
		}
	}
	if keys < 20 {
		t.Errorf("only %d keys were looked for", keys)
	}
	for i, line := range strings.Split(text, "\n") {
		if len(line) > 130 {
			t.Errorf("line %d has %d characters", i+1, len(line))
		}
	}
}

func TestReadConfigRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text string
		want []string // what the error says
	}{
		"unknown_key":         {"name = 'x'\nnaem = 'y'\n", []string{"unknown key", "2| naem"}},
		"unknown_section":     {"[gird]\narea = ''\n", []string{"unknown key", "1| [gird]"}},
		"unknown_in_section":  {"[client]\nneded = 3\n", []string{"unknown key", "2| neded"}},
		"syntax":              {"name = \n", []string{"line 1 column"}},
		"twice":               {"name = 'a'\nname = 'b'\n", []string{"line 2 column 1"}},
		"text_for_number":     {"[client]\nneeded = '3'\n", []string{"line 2 column 10", "a whole number is wanted"}},
		"number_for_text":     {"name = 3\n", []string{"line 1 column 8", "a text in quotes is wanted"}},
		"text_for_list":       {"roles = 'client'\n", []string{"line 1 column 9", "a list is wanted"}},
		"text_for_bool":       {"allow_private_addresses = 'yes'\n", []string{"line 1 column 27", "true or false is wanted"}},
		"negative":            {"[storage]\nmax_bytes = -1\n", []string{"line 2"}},
		"role":                {"roles = ['clinet']\n", []string{"roles", `"clinet"`}},
		"role_upper_case":     {"roles = ['Client']\n", []string{`"Client"`}},
		"name_long":           {"name = '" + strings.Repeat("x", 65) + "'\n", []string{"name", "64"}},
		"name_control":        {"name = \"a\\u0007\"\n", []string{"name", "printable"}},
		"area":                {"[grid]\narea = 'k51'\n", []string{"grid.area"}},
		"manager":             {"[grid]\nmanager = 'k51'\n", []string{"not a peer address"}},
		"bootstrap":           {"bootstrap = ['/ip4/192.0.2.7/tcp/4001']\n", []string{"bootstrap"}},
		"listen":              {"listen = ['0.0.0.0:4001']\n", []string{"listen"}},
		"listen_port":         {"listen = ['/ip4/0.0.0.0/tcp/65536']\n", []string{"listen"}},
		"listen_host":         {"listen = ['/ip4/localhost/tcp/1']\n", []string{"listen"}},
		"needed_zero":         {"[client]\nneeded = 0\n", []string{"needed 0"}},
		"needed_over_total":   {"[client]\nneeded = 11\n", []string{"needed 11"}},
		"happy_over_total":    {"[client]\nhappy = 11\n", []string{"happy 11"}},
		"happy_zero":          {"[client]\nhappy = 0\n", []string{"happy 0"}},
		"total_256":           {"[client]\ntotal = 256\n", []string{"total 256"}},
		"segment_small":       {"[client]\nsegment_size = 1023\n", []string{"segment_size"}},
		"segment_large":       {"[client]\nsegment_size = 4194305\n", []string{"segment_size"}},
		"mutable":             {"[client]\nmutable = 'ldmf'\n", []string{"client.mutable"}},
		"web_open_to_all":     {"[web]\nlisten = '0.0.0.0:3456'\n", []string{"web.listen", "this machine alone"}},
		"web_open_by_name":    {"[web]\nlisten = 'example.com:3456'\n", []string{"web.listen", "this machine alone"}},
		"web_open_everywhere": {"[web]\nlisten = ':3456'\n", []string{"web.listen", "this machine alone"}},
		"web_no_port":         {"[web]\nlisten = '127.0.0.1'\n", []string{"web.listen", "127.0.0.1:3456"}},
		"web_bad_port":        {"[web]\nlisten = '127.0.0.1:x'\n", []string{"web.listen"}},
		"web_ceiling":         {"[web]\nceiling = '-1'\n", []string{"web.ceiling"}},
		"node_id":             {"[storage]\nnode_id = 'aaaa'\n", []string{"storage.node_id"}},
		"grid_managers":       {"[tahoe]\ngrid_managers = ['v0-x']\n", []string{"tahoe.grid_managers"}},
		"ceiling":             {"[gateway]\nprice_ceiling = 'little'\n", []string{"gateway.price_ceiling"}},
		"lookup_ceiling":      {"[gateway]\nlookup_ceiling = ''\n", []string{"gateway.lookup_ceiling"}},
		"deny":                {"[gateway]\ndeny_areas = ['x']\n", []string{"gateway.deny_areas"}},
		"allow":               {"[gateway]\nallow_areas = ['x']\n", []string{"gateway.allow_areas"}},
		"not_utf8":            {"name = \"\xff\"\n", []string{"line 1"}},
		"nothing_but_garbage": {"\x00\x01\x02", []string{"line 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "trunkline.toml")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := ReadConfig(path)
			if !errors.Is(err, ErrConfig) {
				t.Fatalf("got %v", err)
			}
			for _, want := range append(tt.want, path) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q:\n%v", want, err)
				}
			}
		})
	}
}

// Absent lines have their defaults, and Write refuses what Read would.
func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "trunkline.toml")
	if err := os.WriteFile(path, []byte("[client]\nhappy = 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig()
	want.Client.Happy = 5
	if got, err := ReadConfig(path); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	want.Client.Happy = 99
	if err := want.Write(path); !errors.Is(err, ErrConfig) {
		t.Errorf("Write: %v", err)
	}
	if raw, err := os.ReadFile(path); err != nil || !bytes.Contains(raw, []byte("happy = 5")) {
		t.Errorf("the refused configuration was written: %q, %v", raw, err)
	}
}

func TestConfigRoles(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		roles  []Role
		daemon bool
		can    []string
		cannot []string
	}{
		"nothing":       {nil, false, nil, []string{"grid/members", "clearinghouse/status", "bill"}},
		"client":        {[]Role{RoleClient}, false, nil, []string{"grid/members", "bill"}},
		"server":        {[]Role{RoleServer, RoleClient}, true, nil, []string{"grid/members", "bill"}},
		"gateway":       {[]Role{RoleGateway}, true, []string{"bill"}, []string{"grid/members"}},
		"manager":       {[]Role{RoleManager}, true, []string{"bill", "grid/members"}, []string{"clearinghouse/status"}},
		"clearinghouse": {[]Role{RoleClearinghouse}, true, []string{"bill", "clearinghouse/status"}, []string{"grid/members"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := Config{Roles: tt.roles}
			if c.Daemon() != tt.daemon {
				t.Errorf("Daemon is %v", c.Daemon())
			}
			for _, op := range tt.can {
				if !c.answers(op) {
					t.Errorf("it does not answer %s", op)
				}
			}
			for _, op := range tt.cannot {
				if c.answers(op) {
					t.Errorf("it answers %s", op)
				}
				if err := wrongNode(c, op); !errors.Is(err, ErrWrongNode) {
					t.Error(err)
				}
			}
		})
	}
}

// The manager's address is one more bootstrap peer; addresses of one peer are put together.
func TestBootstrapPeers(t *testing.T) {
	t.Parallel()
	other := strings.Replace(somePeer, "4001", "4002", 1)
	c := Config{Bootstrap: []string{somePeer, other, somePeer}, Grid: GridConfig{Manager: other}}
	peers, err := c.BootstrapPeers()
	if err != nil {
		t.Fatal(err)
	}
	if len(peers) != 1 || !slices.Equal(peers[0].Addrs, []string{"/ip4/192.0.2.7/tcp/4001", "/ip4/192.0.2.7/tcp/4002"}) {
		t.Errorf("got %v", peers)
	}
	if len(c.Bootstrap) != 3 {
		t.Errorf("the configuration was changed: %v", c.Bootstrap)
	}
}

func FuzzReadConfig(f *testing.F) {
	f.Add(DefaultConfig().text())
	f.Add("roles = ['client']\n")
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		path := filepath.Join(dir, "trunkline.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := ReadConfig(path)
		if err != nil {
			if !errors.Is(err, ErrConfig) {
				t.Fatal(err)
			}
			return
		}
		// What was read can be written, and reads as the same.
		if err := c.Write(path); err != nil {
			t.Fatalf("%q was read and can't be written: %v", text, err)
		}
		again, err := ReadConfig(path)
		if err != nil || again.text() != c.text() {
			t.Fatalf("%q gave %+v and then %+v, %v", text, c, again, err)
		}
	})
}
