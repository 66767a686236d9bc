package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	t.Parallel()
	const pkg = `{"Action":"start","Package":"p"}` + "\n"
	for name, test := range map[string]struct {
		input  string
		status int
		want   string
		ok     bool
	}{
		"all pass, subtests count": {
			input: pkg + `{"Action":"run","Package":"p","Test":"A"}
				{"Action":"run","Package":"p","Test":"A/b"}
				{"Action":"output","Package":"p","Test":"A/b","Output":"--- PASS\n"}
				{"Action":"pass","Package":"p","Test":"A/b"}
				{"Action":"pass","Package":"p","Test":"A"}
				{"Action":"pass","Package":"p"}`,
			want: "2 passed, 0 failed\n", ok: true,
		},
		"a failed test is counted once, not with its package": {
			input: pkg + `{"Action":"pass","Package":"p","Test":"A"}` +
				`{"Action":"fail","Package":"p","Test":"B"}{"Action":"fail","Package":"p"}`,
			want: "1 passed, 1 failed\n",
		},
		"a package that does not build": {
			input: `{"ImportPath":"p","Action":"build-fail"}{"Action":"fail","Package":"p","FailedBuild":"p"}` +
				`{"Action":"pass","Package":"q","Test":"A"}{"Action":"pass","Package":"q"}`,
			want: "p: failed outside its tests; see its output above\n1 passed, 1 failed\n",
		},
		"a process that died in a test": {
			input: pkg + `{"Action":"run","Package":"p","Test":"A"}{"Action":"fail","Package":"p"}`,
			want:  "p: A began and never ended\n0 passed, 1 failed\n",
		},
		"a skip is said aloud": {
			input: pkg + `{"Action":"pass","Package":"p","Test":"A"}` +
				`{"Action":"skip","Package":"p","Test":"B"}{"Action":"pass","Package":"p"}`,
			want: "p: B was skipped\n1 passed, 0 failed, 1 skipped\n", ok: true,
		},
		"no tests at all": {input: `{"Action":"skip","Package":"p"}`, want: "0 passed, 0 failed\n"},
		"nothing was run": {input: ``, want: "run: no package was tested\n0 passed, 1 failed\n"},
		"not even JSON": {
			input: `go: no such tool`,
			want:  "run: invalid character 'g' looking for beginning of value\n0 passed, 1 failed\n",
		},
		"a status no event": {
			input:  `{"Action":"pass","Package":"p","Test":"A"}{"Action":"pass","Package":"p"}`,
			status: 2,
			want:   "a run ended with status 2 without naming a failure; see its output above\n1 passed, 1 failed\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var total counts
			total.add("run", read(strings.NewReader(test.input)))
			var out bytes.Buffer
			if ok := total.report(&out, test.status); ok != test.ok {
				t.Errorf("ok = %v, want %v", ok, test.ok)
			}
			if out.String() != test.want {
				t.Errorf("got  %q\nwant %q", out.String(), test.want)
			}
		})
	}
}

func TestRunsAreAddedUp(t *testing.T) {
	t.Parallel()
	var total counts
	for range 2 { // the same package path in two modules is two results
		total.add("run", read(strings.NewReader(`{"Action":"pass","Package":"p","Test":"A"}{"Action":"pass","Package":"p"}`)))
	}
	total.add("missing.json", readFile("testdata/missing.json"))
	var out bytes.Buffer
	if total.report(&out, 0) {
		t.Error("a missing file is a failure")
	}
	if !strings.HasSuffix(out.String(), "\n2 passed, 1 failed\n") {
		t.Errorf("got %q", out.String())
	}
}
