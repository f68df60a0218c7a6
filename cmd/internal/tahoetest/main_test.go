package tahoetest_test

import (
	"os"
	"testing"

	"trunkline/cmd/internal/tahoetest"
)

var tests tahoetest.Main

func TestMain(m *testing.M) {
	tests.Tests = m
	os.Exit(tests.Run())
}
