package caps_test

import (
	"errors"
	"fmt"

	"trunkline/caps"
)

func Example() {
	c, err := caps.Parse("URI:CHK:qjkmgknjfbipnvjz3u3w6saw5y:euxrbsbwcdv4ugqftqf25asv5orpsw7e2hl3z6uj24sivawz6eiq:3:10:1000")
	if err != nil {
		fmt.Println(err)
		return
	}
	verify, _ := c.VerifyCap()
	fmt.Println(c)
	fmt.Println(verify)
	fmt.Println(verify.Text())
	// Output:
	// CHK(tq2sxz7567…)
	// CHK-Verifier(tq2sxz7567…)
	// URI:CHK-Verifier:tq2sxz7567puipfouwaaz6g6qm:euxrbsbwcdv4ugqftqf25asv5orpsw7e2hl3z6uj24sivawz6eiq:3:10:1000
}

func ExampleParse_mistyped() {
	_, err := caps.Parse("URI:LIT:nbswy3dq1")
	fmt.Println(err, errors.Is(err, caps.ErrBase32Alphabet))
	_, err = caps.Parse("URI:FUTURE:nbswy3dp")
	fmt.Println(err, errors.Is(err, caps.ErrUnknownKind))
	// Output:
	// malformed capability: LIT: base32: character outside a-z and 2-7 true
	// unknown kind of capability true
}
