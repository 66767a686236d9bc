package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
	"quartermaster/internal/stockcsv"
)

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
	{"cells too few", "root_email", "has 5 cells", func(_ string, c cells) string { return strings.Join(slice(c)[:5], ",") }},
	{"a cell too many", "column 9", "has 9 cells", func(row string, _ cells) string { return row + ",surplus" }},
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
	s := setupAPI(t)
	for i, provider := range map[int]string{20_001: "acme", 20_002: "globex"} {
		c := validCells(i)
		_, _, err := s.store.Accounts.Create(t.Context(), provision.Account{
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

	upload := func(from string, args ...string) []string {
		t.Helper()
		r := s.with(streams{in: bytes.NewReader(file)}, append([]string{"accounts", "import", from, "--poll=10ms"}, args...)...)
		require.ErrorContains(t, r.err, "37 of 10000 rows are faulty", "%s", r.out)
		require.Equal(t, exitFailed, exitCode(r.err))
		out := strings.Split(strings.TrimSpace(strings.ReplaceAll(r.out, "the standard input:", name+":")), "\n")
		require.GreaterOrEqual(t, len(out), 37)
		for i, want := range wanted {
			require.True(t, strings.HasPrefix(out[i], want), "%s: %s\nnot %s", planted[i].what, out[i], want)
			require.Contains(t, out[i], planted[i].message, planted[i].what)
			require.NotContains(t, out[i], "globex")
		}
		return out[37:]
	}
	require.Regexp(t, `^dry run, nothing was changed: of 10000 rows, 9963 would be added, 0 exist unchanged, and 37 are faulty`,
		strings.Join(upload(name, "--dry-run"), "|"))
	var count int
	require.NoError(t, s.store.SQL().Get(&count, `SELECT count(*) FROM accounts`))
	require.Equal(t, 2, count)
	require.Regexp(t, `^10000 rows: 9963 added, 0 unchanged, 37 faulty \(import \S+\)\|the new accounts are being verified`,
		strings.Join(upload(name), "|"))
	require.NoError(t, s.store.SQL().Get(&count, `SELECT count(*) FROM accounts
		WHERE provider = 'acme' AND status = 'invalid' AND reason = 'waits for its verification'`))
	require.Equal(t, 9963+1, count)
	require.Regexp(t, `^10000 rows: 0 added, 9963 unchanged, 37 faulty \(import \S+\)$`, strings.Join(upload("-"), "|"))
}

func TestWhatIsExportedByCommandLineImportsUnchanged(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
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
	require.Contains(t, s.must("accounts", "import", name, "--poll=10ms"), "600 rows: 600 added, 0 unchanged, 0 faulty")

	exported := s.run("accounts", "export")
	require.NoError(t, exported.err)
	require.Equal(t, s.get("/v1/accounts/export"), strings.TrimSpace(exported.out))
	require.Equal(t, 601, strings.Count(exported.out, "\r\n"))
	require.Contains(t, exported.out, ",'=1+Pool 00002,")
	require.NoError(t, os.WriteFile(name, []byte(exported.out), 0o600))
	require.Contains(t, s.must("accounts", "import", name, "--poll=10ms"), "600 rows: 0 added, 600 unchanged, 0 faulty")
	ready := s.run("accounts", "export", "--status=ready", "--model=SPAM", "--environment=production", "--marketplace=nordic")
	require.NoError(t, ready.err)
	require.Equal(t, 1, strings.Count(ready.out, "\r\n"))
}

func TestAFileThatCannotBeReadIsSaidWithItsPlace(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	name := filepath.Join(t.TempDir(), "accounts.csv")
	require.NoError(t, os.WriteFile(name, []byte("account_id,Name\n"), 0o600))
	r := s.run("accounts", "import", name)
	require.Contains(t, inWords(r.err), "the header is not that of an import")
	require.Equal(t, exitRefused, exitCode(r.err))
	r = s.run("accounts", "import", name+"-missing")
	require.ErrorIs(t, r.err, os.ErrNotExist)
	require.Equal(t, exitUsage, exitCode(r.err))
	require.NoError(t, os.WriteFile(name, bytes.Repeat([]byte("\n"), 5<<20+1), 0o600))
	require.ErrorContains(t, s.run("accounts", "import", name).err, "has more than 5242880 bytes")
	require.NoError(t, os.WriteFile(name, []byte(stockcsv.Template()), 0o600))
	require.Contains(t, s.must("accounts", "import", name, "--poll=10ms"), "0 rows: 0 added")
}

func TestATerminalShowsOneLineOfProgress(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	live := progress{out: &out, live: true}
	live.show(500, 900)
	live.clear()
	live.show(900, 900)
	require.Equal(t, "500 of 900 rows\r\x1b[K900 of 900 rows", out.String())
}
