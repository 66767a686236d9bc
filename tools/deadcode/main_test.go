package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindsWhatNothingUsesAndWhatOnlyTestsUse(t *testing.T) {
	t.Parallel()
	allow := filepath.Join(t.TempDir(), "allowed")
	if err := os.WriteFile(allow, []byte("example/lib.Helper # kept for later\nexample/lib.Used\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := run(allow, "", []string{"example/helper"}, "testdata/module", []string{"./..."})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"nothing uses example/helper.Unused",
		"only tests use example/lib.OnlyTested",
		"only tests use example/lib.OnlyTestedByHelpers",
		"nothing uses example/lib.Square.Paint",
		"nothing uses example/lib.Unused",
		"nothing dead is named example/lib.Used: remove the line",
	}
	if len(found) != len(want) {
		t.Fatalf("found %d lines, want %d:\n%s", len(found), len(want), strings.Join(found, "\n"))
	}
	for i, line := range found {
		if !strings.HasSuffix(line, want[i]) {
			t.Errorf("line %d is %q, want %q", i, line, want[i])
		}
	}
}

func TestReportsPackagesThatDoNotExist(t *testing.T) {
	t.Parallel()
	if _, err := run("", "", nil, "testdata/module", []string{"./absent"}); err == nil {
		t.Fatal("no error")
	}
	if _, err := run("absent", "", nil, "testdata/module", []string{"./..."}); err == nil {
		t.Fatal("no error for a missing file of allowed names")
	}
}
