package temporal

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// progress collects the messages of a build; it can be read while the build goes on.
type progress struct {
	mu   sync.Mutex
	text bytes.Buffer
	seen chan struct{} // closed at the first message
	once sync.Once
}

func newProgress() *progress { return &progress{seen: make(chan struct{})} }

func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.once.Do(func() { close(p.seen) })
	return p.text.Write(b)
}

func (p *progress) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// setupKeeper returns a keeper of a small program that prints hello, so that building takes a second and not minutes.
func setupKeeper(t *testing.T) (keeper, *progress) {
	t.Helper()
	source := t.TempDir()
	write(t, filepath.Join(source, "go.mod"), "module "+sourceModule+"\n\ngo 1.26\n")
	write(t, filepath.Join(source, "main.go"), "package main\n\nfunc main() { print(\"hello\") }\n")
	p := newProgress()
	return keeper{source: source, dir: filepath.Join(t.TempDir(), "cache"), progress: p}, p
}

func write(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
}

// files lists the names in a directory, without the lock.
func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, entry := range entries {
		if entry.Name() != "build.lock" {
			names = append(names, entry.Name())
		}
	}
	return names
}

func TestKeeperBuildsOnce(t *testing.T) {
	t.Parallel()
	k, told := setupKeeper(t)

	first, err := k.program(t.Context())
	require.NoError(t, err)
	said, err := exec.CommandContext(t.Context(), first).CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, "hello", string(said))
	require.Contains(t, told.String(), "Compiling the Temporal server, once")
	require.Contains(t, told.String(), "Compiled the Temporal server in")
	require.Equal(t, []string{filepath.Base(first)}, files(t, k.dir), "nothing but the program is left")

	again := newProgress()
	k.progress = again
	second, err := k.program(t.Context())
	require.NoError(t, err)
	require.Equal(t, first, second)
	require.Empty(t, again.String(), "using a kept program prints nothing")
}

func TestKeeperRebuildsWhenTheSourceChanges(t *testing.T) {
	t.Parallel()
	k, _ := setupKeeper(t)
	before, err := k.program(t.Context())
	require.NoError(t, err)

	write(t, filepath.Join(k.source, "main_test.go"), "package main\n")
	same, err := k.program(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, same, "tests are not part of the program")

	write(t, filepath.Join(k.source, "main.go"), "package main\n\nfunc main() { print(\"goodbye\") }\n")
	after, err := k.program(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, before, after)
	said, err := exec.CommandContext(t.Context(), after).CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, "goodbye", string(said))
	require.FileExists(t, before, "another checkout may still use the old one")
}

func TestKeeperDeletesUnusedPrograms(t *testing.T) {
	t.Parallel()
	k, _ := setupKeeper(t)
	require.NoError(t, os.MkdirAll(k.dir, 0o700))
	old, recent := filepath.Join(k.dir, keptPrefix+"old"), filepath.Join(k.dir, keptPrefix+"recent")
	foreign, aborted := filepath.Join(k.dir, "something-else"), filepath.Join(k.dir, compilingPrefix+"1")
	for _, path := range []string{old, recent, foreign, aborted} {
		write(t, path, "")
	}
	longAgo := time.Now().Add(-unusedFor - time.Hour)
	require.NoError(t, os.Chtimes(old, longAgo, longAgo))
	require.NoError(t, os.Chtimes(foreign, longAgo, longAgo))
	require.NoError(t, os.Chtimes(aborted, longAgo, longAgo))

	path, err := k.program(t.Context())

	require.NoError(t, err)
	require.ElementsMatch(t, []string{filepath.Base(path), filepath.Base(recent), filepath.Base(foreign)}, files(t, k.dir))
}

func TestKeeperShowsCompilerErrors(t *testing.T) {
	t.Parallel()
	k, _ := setupKeeper(t)
	write(t, filepath.Join(k.source, "main.go"), "package main\n\nfunc main() { undefinedWord() }\n")

	_, err := k.program(t.Context())

	require.ErrorContains(t, err, "cannot compile the Temporal server in "+k.source)
	require.ErrorContains(t, err, "undefined: undefinedWord")
	require.Empty(t, files(t, k.dir), "a failed build leaves nothing behind")
}

func TestKeeperNeverBuildsTwiceAtOnce(t *testing.T) {
	t.Parallel()
	k, _ := setupKeeper(t)
	require.NoError(t, os.MkdirAll(k.dir, 0o700))
	unlock, err := k.lock(t.Context()) // as another process that compiles
	require.NoError(t, err)

	waiting := newProgress()
	k.progress = waiting
	paths := make(chan string, 1)
	go func() {
		path, err := k.program(t.Context())
		if err != nil {
			path = err.Error()
		}
		paths <- path
	}()
	<-waiting.seen
	require.Equal(t, "Another process is compiling the Temporal server; waiting for it …\n", waiting.String())
	hash, err := k.hash()
	require.NoError(t, err)
	made := filepath.Join(k.dir, keptPrefix+hash)
	write(t, made, "built by the other process")
	unlock()

	require.Equal(t, made, <-paths)
	require.NotContains(t, waiting.String(), "Compiling", "the program that the other process built is used")
}

func TestKeeperStopsWaitingWhenCancelled(t *testing.T) {
	t.Parallel()
	k, told := setupKeeper(t)
	require.NoError(t, os.MkdirAll(k.dir, 0o700))
	unlock, err := k.lock(t.Context())
	require.NoError(t, err)
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-told.seen; cancel() }()

	_, err = k.program(ctx)

	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "gave up waiting for another process")
}

func TestKeeperStopsBuildingWhenCancelled(t *testing.T) {
	t.Parallel()
	k, told := setupKeeper(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-told.seen; cancel() }()

	_, err := k.program(ctx)

	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "interrupted")
	require.Empty(t, files(t, k.dir))
}

func TestFind(t *testing.T) {
	t.Parallel()
	errAbsent := errors.New("not there")
	compile := func() (string, error) { return "compiled", nil }
	tests := map[string]struct {
		variable string
		there    []string
		want     string
		wantErr  string
	}{
		"the variable wins":      {variable: "/opt/mine", there: []string{"/opt/mine", "temporal"}, want: "/opt/mine"},
		"then a CLI on the PATH": {there: []string{"temporal"}, want: "temporal"},
		"then the compiled one":  {want: "compiled"},
		"a wrong variable is an error": {
			variable: "/opt/mine", there: []string{"temporal"},
			wantErr: `TEMPORAL_CLI "/opt/mine" cannot be run: not there`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lookPath := func(file string) (string, error) {
				for _, there := range tt.there {
					if there == file {
						return file, nil
					}
				}
				return "", errAbsent
			}
			got, err := find(func(string) string { return tt.variable }, lookPath, compile)
			if tt.wantErr != "" {
				require.ErrorContains(t, err, tt.wantErr)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}

func TestSourceAround(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	source, inside := filepath.Join(root, "dev", "temporal-server"), filepath.Join(root, "dev", "end", "to", "end")
	require.NoError(t, os.MkdirAll(source, 0o700))
	require.NoError(t, os.MkdirAll(inside, 0o700))

	write(t, filepath.Join(source, "go.mod"), "module example.com/another\n")
	_, found := sourceAround(inside)
	require.False(t, found, "another module of that name is not ours")

	write(t, filepath.Join(source, "go.mod"), "module "+sourceModule+"\n\ngo 1.26\n")
	for _, start := range []string{inside, filepath.Join(root, "dev"), root} {
		got, found := sourceAround(start)
		require.True(t, found, start)
		require.Equal(t, source, got)
	}
}

func TestBuildLogCountsProgress(t *testing.T) {
	t.Parallel()
	log := &buildLog{}
	say := func(s string) {
		_, err := log.Write([]byte(s))
		require.NoError(t, err)
	}
	require.Empty(t, log.state(3))
	say("go: downloading go.temporal.io/server v1.32.1\ngo: down")
	say("loading go.temporal.io/api v1.63.5\n")
	require.Equal(t, "Downloading the sources of the Temporal server: 2 modules so far", log.state(4))
	say("internal/abi\r\ngo.temporal.io/ser")
	require.Equal(t, "Compiling the Temporal server: 1 of 4 packages", log.state(4))
	say("ver/common\nthird/package\n")
	require.Equal(t, "Linking the Temporal server …", log.state(4))
	require.Empty(t, log.rest())
	say("# third/package\nmain.go:3: no such thing\n")
	require.Equal(t, "# third/package\nmain.go:3: no such thing", log.rest())
}

func TestEstimate(t *testing.T) {
	t.Parallel()
	require.Equal(t, "20 seconds", estimate(1, 2))
	require.Equal(t, "7 minutes", estimate(1782, 2))
	require.Equal(t, "2 minutes", estimate(1782, 7))
	require.Equal(t, "20 seconds", estimate(0, 0), "no cores known is one core")
}
