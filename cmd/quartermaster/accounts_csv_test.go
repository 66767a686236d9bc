package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
	"quartermaster/workflows/control/controltest"
)

// program is the program itself, built once.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "quartermaster")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	return path
}

func setupStock(t *testing.T) (url string, store *postgres.DB, db *sqlx.DB) {
	t.Helper()
	url = pgtest.URL(t)
	store, err := postgres.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	db = store.SQL()
	for _, provider := range []string{"acme", "globex"} {
		require.NoError(t, store.Providers.Create(t.Context(), provider, provider))
		pool := provision.Pool{Provider: provider, Marketplace: "nordic", Environment: provision.Production}
		_, err := store.Pools.Create(t.Context(), "test", provision.DefaultPool(pool))
		require.NoError(t, err)
	}
	return url, store, db
}

// mostMemory returns the peak of a process's resident memory in bytes, or 0 where Linux does not report it. The peak that wait4
// returns begins with the memory of the process that started it, here that of the tests.
func mostMemory(pid int) (kib int64) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	if _, rest, found := strings.Cut(string(status), "VmHWM:"); found {
		_, _ = fmt.Sscan(rest, &kib)
	}
	return kib << 10
}

// cells of a valid row, in the order of the header.
type cells [8]string

func validCells(i int) cells {
	id := fmt.Sprintf("%012d", i)
	return cells{
		id, "nordic", "production", "SPAM",
		fmt.Sprintf("Pool %05d", i), "aws+" + id + "@acme.example", "arn:aws:iam::" + id + ":role/quartermaster", "",
	}
}

// planted are the faults of the large file, one of each kind: how a row is spoilt, and what is said of it.
var planted = []struct {
	what    string
	column  string // as the message names it
	message string
	spoil   func(row string, c cells) string
}{
	{"no account id", "account_id", "exactly 12 digits", in(0, "")},
	{"leading zeros lost", "account_id", "format the column as text", in(0, "123")},
	{"a number in scientific notation", "account_id", "format the column as text", in(0, "1.11122E+11")},
	{"letters in the account id", "account_id", "exactly 12 digits", in(0, "12345678901O")},
	{"a marketplace in capitals", "marketplace", "lower-case letters", in(1, "NORDIC")},
	{"a long marketplace", "marketplace", "at most 40", in(1, strings.Repeat("m", 41))},
	{"an unknown environment", "environment", "use production or test", in(2, "staging")},
	{"no model", "model", "needs 1 to 40 characters", in(3, "")},
	{"a long model", "model", "needs 1 to 40 characters", in(3, strings.Repeat("M", 41))},
	{"an unknown model", "model", "use SPAM or ECAM", in(3, "GCP")},
	{"no name", "name", "needs 1 to 100 characters", in(4, "")},
	{"a zero-width space in the name", "name", "an invisible character", in(4, "Po\u200bol")},
	{"only spaces as the name", "name", "it has 0", in(4, "  ")},
	{"a long name", "name", "it has 101", in(4, strings.Repeat("n", 101))},
	{"a control character in the name", "name", "a control character", in(4, "Po\tol")},
	{"a line break in the name", "name", "this row goes from line", in(4, "\"Po\nol\"")},
	{"a name in Latin-1", "name", "not UTF-8 (byte 0xF6", in(4, "P\xf6l")},
	{"a huge cell", "name", "the cell has 2000 bytes", in(4, strings.Repeat("n", 2000))},
	{"no address", "root_email", "name@domain.tld", in(5, "root")},
	{"a long address", "root_email", "6 to 64 ASCII characters", in(5, strings.Repeat("a", 250)+"@b.example")},
	{"no ARN", "role_arn", "is not a role", in(6, "quartermaster")},
	{"a user's ARN", "role_arn", "is not a role", in(6, "arn:aws:iam::111122223333:user/q")},
	{"no role", "role_arn", "is not a role", in(6, "")},
	{"a role in China", "role_arn", `partition "aws-cn"`, func(_ string, c cells) string {
		return in(6, strings.Replace(c[6], "aws", "aws-cn", 1))("", c)
	}},
	{"a role in another account", "role_arn", "the role is in account 111122223333", in(6, "arn:aws:iam::111122223333:role/q")},
	{"an external id", "external_id", "Quartermaster makes the external id", in(7, "mine-and-only-mine")},
	{"a cell too few", "external_id", "has 7 cells", func(row string, _ cells) string { return strings.TrimSuffix(row, ",") }},
	{"a cell too many", "column 9", "has 9 cells", func(row string, _ cells) string { return row + "," }},
	{"a quote inside a cell", "name", "write the quote inside twice", in(4, `Pool "7"`)},
	{"text behind a closing quote", "name", "goes on behind its closing quote", in(4, `"Pool" 7`)},
	{"a quote that is never closed", "name", "reading went on with the next line", in(4, `"Pool 7`)},
	{"a row without an end", "account_id", "is a line break missing", func(row string, _ cells) string {
		return row + strings.Repeat("x", 20_000)
	}},
	{"an account twice", "account_id", "is in line 2 of this file already", rowOf(1)},
	{"an account that is in the pool otherwise", "name", "is in the pool with a different name, root_email", rowOf(20_001)},
	{"another provider's account", "account_id", "an AWS account can be in only one pool", rowOf(20_002)},
	{"no such pool", "marketplace", `there is no pool for marketplace "southern"`, in(1, "southern")},
	{"a protected account", "account_id", "is protected", rowOf(20_003)},
}

// rowOf puts the valid row of account i in place of a row.
func rowOf(i int) func(string, cells) string {
	return func(string, cells) string { return strings.Join(slice(validCells(i)), ",") }
}

func in(column int, text string) func(string, cells) string {
	return func(_ string, c cells) string {
		c[column] = text
		return strings.Join(slice(c), ",")
	}
}

func slice(c cells) []string { return c[:] }

// largeFile has 10,000 rows with the planted faults spread over it, and returns the messages that an import must print for them.
func largeFile(name string) (file []byte, wanted []string) {
	var text bytes.Buffer
	text.WriteString("account_id,marketplace,environment,model,name,root_email,role_arn,external_id\r\n")
	line := 2
	for i := 1; i <= 10_000; i++ {
		row := strings.Join(slice(validCells(i)), ",")
		if n := i/261 - 1; i%261 == 0 && n < len(planted) {
			row = planted[n].spoil(row, validCells(i))
			wanted = append(wanted, fmt.Sprintf("%s:%d:%s: ", name, line, planted[n].column))
		}
		text.WriteString(row + "\r\n")
		line += 1 + strings.Count(row, "\n")
	}
	return text.Bytes(), wanted
}

func TestTenThousandRowsWithThirtySevenFaults(t *testing.T) {
	t.Parallel()
	url, store, db := setupStock(t)
	binary := program(t)
	for i, provider := range map[int]string{20_001: "acme", 20_002: "globex"} {
		c := validCells(i)
		_, _, err := store.Accounts.Create(t.Context(), provision.Account{
			ID:         c[0],
			Pool:       provision.Pool{Provider: provider, Marketplace: "nordic", Environment: provision.Production},
			Model:      provision.ModelSPAM,
			Name:       "Another",
			RootEmail:  "another+" + c[0] + "@acme.example",
			RoleARN:    c[6],
			ExternalID: provision.NewExternalID(),
		}, "test")
		require.NoError(t, err)
	}
	name := filepath.Join(t.TempDir(), "accounts.csv")
	file, wanted := largeFile(name)
	require.Len(t, wanted, 37, "every kind of fault is planted once")
	require.NoError(t, os.WriteFile(name, file, 0o600))

	upload := func(from string, args ...string) (out []string, exit int) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		var memory int64
		line := []string{
			"accounts", "import", from, "--provider=acme", "--database-url=" + url, "--protected-accounts=000000020003",
		}
		command := exec.CommandContext(t.Context(), binary, append(line, args...)...)
		command.Env = append(os.Environ(), "TEMPORAL_ADDRESS=")
		command.Stdin, command.Stdout = bytes.NewReader(file), &stdout
		// The memory is read at every sign of progress.
		command.Stderr = io.MultiWriter(&stderr, onWrite{func() { memory = max(memory, mostMemory(command.Process.Pid)) }})
		began := time.Now()
		err := command.Run()
		took := time.Since(began)
		_, failed := errors.AsType[*exec.ExitError](err)
		require.True(t, err == nil || failed, "%v", err)
		if memory == 0 {
			usage, ok := command.ProcessState.SysUsage().(*syscall.Rusage)
			require.True(t, ok)
			memory = usage.Maxrss
		}
		t.Logf("%v: %s, %.0f rows a second, at most %d MiB", args, took.Round(time.Millisecond), 10_000/took.Seconds(), memory>>20)
		require.Less(t, took, 10*time.Second)
		require.Less(t, memory, int64(100_000_000))
		require.Contains(t, stderr.String(), "500 of 10000 rows\n", "the progress is shown")
		require.Contains(t, stderr.String(), "10000 of 10000 rows\n")
		return strings.Split(strings.TrimSpace(stdout.String()), "\n"), command.ProcessState.ExitCode()
	}
	check := func(out []string) {
		t.Helper()
		require.GreaterOrEqual(t, len(out), 37)
		for i, want := range wanted {
			require.True(t, strings.HasPrefix(out[i], want), "%s: %s\nnot %s", planted[i].what, out[i], want)
			require.Contains(t, out[i], planted[i].message, planted[i].what)
			require.NotContains(t, out[i], "globex")
		}
	}
	out, exit := upload(name, "--dry-run")
	check(out)
	require.Len(t, out, 38, "37 messages and the summary")
	require.Equal(t, 1, exit)
	require.Contains(t, out[37], "9963 would be added, 0 exist unchanged, and 37 are faulty")
	var count int
	require.NoError(t, db.Get(&count, `SELECT count(*) FROM accounts`))
	require.Equal(t, 2, count)

	out, exit = upload(name)
	check(out)
	require.Len(t, out, 39, "37 messages, the summary, and what becomes of the new accounts")
	require.Equal(t, 1, exit)
	require.Contains(t, out[37], "10000 rows: 9963 added, 0 unchanged, 37 faulty")
	require.Equal(t, "the new accounts are verified within 5 minutes, while a worker runs", out[38])
	require.NoError(t, db.Get(&count, `SELECT count(*) FROM accounts
		WHERE provider = 'acme' AND status = 'invalid' AND reason = 'waits for its verification'`))
	require.Equal(t, 9963+1, count)

	out, exit = upload("-")
	for i := range out {
		out[i] = strings.Replace(out[i], "stdin:", name+":", 1)
	}
	check(out)
	require.Len(t, out, 38)
	require.Equal(t, 1, exit)
	require.Contains(t, out[37], "10000 rows: 0 added, 9963 unchanged, 37 faulty")
}

func TestWhatIsExportedByCommandLineImportsUnchanged(t *testing.T) {
	t.Parallel()
	url, _, _ := setupStock(t)
	database := "--database-url=" + url
	template, err := call(t, "accounts", "template")
	require.NoError(t, err)
	name := filepath.Join(t.TempDir(), "accounts.csv")
	var rows strings.Builder
	for i := 1; i <= 600; i++ {
		c := validCells(i)
		c[4] = "'" + c[4]
		if i%2 == 0 {
			c[4] = "=1+" + c[4][1:]
		}
		rows.WriteString(strings.Join(slice(c)[:7], ";") + "\n")
	}
	require.NoError(t, os.WriteFile(name, []byte(strings.ReplaceAll(template, ",", ";")+rows.String()), 0o600))
	out, err := call(t, "accounts", "import", name, "--provider=acme", database)
	require.NoError(t, err)
	require.Contains(t, out, "600 rows: 600 added, 0 unchanged, 0 faulty")

	exported, err := call(t, "accounts", "export", "--provider=acme", database)
	require.NoError(t, err)
	require.Equal(t, 601, strings.Count(exported, "\r\n"))
	require.Contains(t, exported, ",'=1+Pool 00002,")
	require.Contains(t, exported, ",'Pool 00001,")
	require.Contains(t, exported, ",qm-")
	require.NoError(t, os.WriteFile(name, []byte(exported), 0o600))
	out, err = call(t, "accounts", "import", name, "--provider=acme", database)
	require.NoError(t, err)
	require.Contains(t, out, "600 rows: 0 added, 600 unchanged, 0 faulty")

	ready, err := call(t, "accounts", "export", "--provider=acme", "--status=ready",
		"--model=SPAM", "--environment=production", "--marketplace=nordic", database)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(ready, "\r\n"))
}

func TestAFileThatCannotBeReadIsSaidWithItsPlace(t *testing.T) {
	t.Parallel()
	url, _, _ := setupStock(t)
	name := filepath.Join(t.TempDir(), "accounts.csv")
	require.NoError(t, os.WriteFile(name, []byte("account_id,Name\n"), 0o600))
	out, err := call(t, "accounts", "import", name, "--provider=acme", "--database-url="+url)
	require.ErrorContains(t, err, "nothing was imported")
	require.Contains(t, out, name+":1:Name: the header is not that of an import")
	_, err = call(t, "accounts", "import", name+"-missing", "--provider=acme", "--database-url="+url)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(name, bytes.Repeat([]byte("\n"), 5<<20+1), 0o600))
	_, err = call(t, "accounts", "import", name, "--provider=acme", "--database-url="+url)
	require.ErrorContains(t, err, "split it")
	template, err := call(t, "accounts", "template")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(name, []byte(template), 0o600))
	_, err = call(t, "accounts", "import", name, "--provider=unknown", "--database-url="+url)
	require.ErrorIs(t, err, provision.ErrNotFound)
	out, err = call(t, "accounts", "import", name, "--provider=acme", "--database-url="+url)
	require.NoError(t, err)
	require.Contains(t, out, "0 rows: 0 added")
}

// onWrite does something whenever something is written.
type onWrite struct{ do func() }

func (w onWrite) Write(p []byte) (int, error) {
	w.do()
	return len(p), nil
}

func TestAnImportThatIsInterruptedSaysSoAndIsGivenUp(t *testing.T) {
	t.Parallel()
	url, store, _ := setupStock(t)
	name := filepath.Join(t.TempDir(), "accounts.csv")
	file, _ := largeFile(name)
	require.NoError(t, os.WriteFile(name, file, 0o600))
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var out bytes.Buffer
	err := run(ctx, []string{"accounts", "import", name, "--provider=acme", "--database-url=" + url}, &out, onWrite{interrupt})
	require.ErrorContains(t, err, "the import stopped after 500 of 10000 rows, because it was interrupted")
	imports, err := store.Imports.List(t.Context(), "acme", 5, nil)
	require.NoError(t, err)
	require.Len(t, imports, 1)
	require.Equal(t, provision.ImportFailed, imports[0].State)
	require.Equal(t, 500, imports[0].RowsDone)
	require.Contains(t, out.String(), "the new accounts are verified within 5 minutes")
}

// Not parallel: Temporal's address comes from the environment, which is the process's.
func TestAnImportHasItsAccountsVerifiedWhereTemporalIsKnown(t *testing.T) {
	f, address := controltest.Serve(t)
	url, _, _ := setupStock(t)
	template, err := call(t, "accounts", "template")
	require.NoError(t, err)
	name := filepath.Join(t.TempDir(), "accounts.csv")
	write := func(i int) {
		t.Helper()
		require.NoError(t, os.WriteFile(name, []byte(template+strings.Join(slice(validCells(i))[:7], ",")+"\n"), 0o600))
	}
	load := func(args ...string) string {
		t.Helper()
		out, err := call(t, append([]string{"accounts", "import", name, "--provider=acme", "--database-url=" + url}, args...)...)
		require.NoError(t, err)
		return out
	}
	t.Setenv("TEMPORAL_ADDRESS", address)
	write(1)
	require.NotContains(t, load("--dry-run"), "verified")
	require.Contains(t, load(), "the new accounts are being verified\n")
	require.NotContains(t, load(), "verified", "there is nothing new")
	require.Len(t, f.SignalsWithStart, 1)
	require.Equal(t, workflows.VerifyAccountsID, f.SignalsWithStart[0].WorkflowId)
	require.Equal(t, workflows.SignalAccountsDue, f.SignalsWithStart[0].SignalName)

	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	write(2)
	require.Contains(t, load(), "the new accounts are verified within 5 minutes, while a worker runs")
}

func TestATerminalShowsOneLineOfProgress(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	live := progress{out: &out, live: true}
	live.show(provision.AccountImport{RowsDone: 500, RowsTotal: 900})
	live.clear()
	live.show(provision.AccountImport{RowsDone: 900, RowsTotal: 900})
	require.Equal(t, "500 of 900 rows\r\x1b[K900 of 900 rows", out.String())
	require.False(t, isTerminal(&out))
}
