package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
	"quartermaster/internal/stockcsv"
)

// csvRow is a valid row of the account.
func csvRow(i int) string {
	a := account(i, provision.ModelSPAM)
	return fmt.Sprintf("%s,north,production,SPAM,%s,%s,%s\n", a.ID, a.Name, a.RootEmail, a.RoleARN)
}

func csvRows(from, to int) string {
	var text strings.Builder
	for i := from; i <= to; i++ {
		text.WriteString(csvRow(i))
	}
	return text.String()
}

func createImport(t *testing.T, store *postgres.DB, rows string, dryRun bool) provision.AccountImport {
	t.Helper()
	file, err := stockcsv.Scan([]byte(stockcsv.Template() + rows))
	require.NoError(t, err)
	i, err := store.Imports.Create(t.Context(),
		provision.NewImport{ImportKey: provision.ImportKey{Provider: "acme", ID: uuid.NewString()}, Actor: "key k1",
			DryRun: dryRun, File: file.Text, Rows: file.Rows, NextOffset: file.First.Offset, NextLine: file.First.Line})
	require.NoError(t, err)
	return i
}

var protectedIDs = []string{"999999999999"}

// finish runs batches until the import runs no more.
func finish(t *testing.T, store *postgres.DB, i provision.AccountImport) (provision.AccountImport, []string) {
	t.Helper()
	var messages []string
	for i.State == provision.ImportRunning {
		var faults []provision.RowResult
		var err error
		i, faults, err = store.Imports.RunBatch(t.Context(), i.ImportKey, protectedIDs)
		require.NoError(t, err)
		for _, f := range faults {
			messages = append(messages, fmt.Sprintf("%d:%s:%d: %s", f.Line, f.Column, f.Position, f.Message))
		}
	}
	return i, messages
}

func importRows(t *testing.T, store *postgres.DB, rows string) (provision.AccountImport, []string) {
	t.Helper()
	return finish(t, store, createImport(t, store, rows, false))
}

// dump is everything that an import could change.
func dump(t *testing.T, db *sqlx.DB) (rows []string) {
	t.Helper()
	require.NoError(t, db.Select(&rows, `SELECT to_jsonb(a)::text FROM accounts a UNION ALL SELECT to_jsonb(e)::text FROM account_history e
		UNION ALL SELECT to_jsonb(o)::text FROM orders o UNION ALL SELECT to_jsonb(p)::text FROM pools p UNION ALL SELECT to_jsonb(v)::text
    FROM events v`))
	return rows
}

func TestAnImportAddsTheAccountsInTheOrderOfTheFile(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	_, err := store.Orders.Open(ctx, order("waits", ""))
	require.NoError(t, err)
	_, err = store.Orders.Claim(ctx, order("waits", "").OrderKey)
	require.NoError(t, err)
	i, messages := importRows(t, store, csvRow(30)+csvRow(10)+csvRow(20))
	require.Empty(t, messages)
	require.Equal(t, provision.ImportCompleted, i.State)
	require.Equal(t, []int{3, 3, 3, 0, 0, 0}, []int{i.RowsTotal, i.RowsDone, i.Added, i.Unchanged, i.Faulty, i.Messages})
	require.NotNil(t, i.FinishedAt)

	accounts, err := store.Accounts.List(ctx, "acme", provision.AccountFilter{Limit: 10})
	require.NoError(t, err)
	require.Len(t, accounts, 3)
	external := map[string]bool{}
	for n, a := range accounts {
		require.Equal(t, fmt.Sprintf("%012d", []int{30, 10, 20}[n]), a.ID, "the oldest is the first of the file")
		require.Equal(t, provision.AccountInvalid, a.Status)
		require.Equal(t, provision.AwaitsVerification, a.Reason)
		require.True(t, a.ReadyWhenVerified)
		external[a.ExternalID] = true
		events, err := store.Accounts.History(ctx, "acme", a.ID, 0, 10)
		require.NoError(t, err)
		require.Len(t, events, 1)
		require.Equal(t, "key k1, import "+i.ID, events[0].Actor)
	}
	require.Len(t, external, 3, "each has an external id of its own")
	waits, err := store.Orders.Get(ctx, provision.Tenant{Provider: "acme"}, "waits")
	require.NoError(t, err)
	require.Equal(t, provision.WaitingForAccount, waits.State, "nothing is drawn before its verification")
	var event string
	require.NoError(t, db.Get(&event, `SELECT data ->> 'added' FROM events WHERE type = 'account_import.completed' AND subject = $1`, i.ID))
	require.Equal(t, "3", event)
	var kept int
	require.NoError(t, db.Get(&kept, `SELECT count(file) FROM account_imports`))
	require.Zero(t, kept, "the file is gone")
}

func TestTheSameFileAgainChangesNothing(t *testing.T) {
	t.Parallel()
	_, store, db := setup(t)
	rows := csvRows(1, 1203)
	first, messages := importRows(t, store, rows)
	require.Empty(t, messages)
	require.Equal(t, 1203, first.Added)
	before := dump(t, db)
	again, messages := importRows(t, store, rows)
	require.Empty(t, messages)
	require.NotEqual(t, first.ID, again.ID)
	require.Equal(t, []int{0, 1203, 0}, []int{again.Added, again.Unchanged, again.Faulty})
	after := dump(t, db)
	require.Len(t, after, len(before)+1, "but for the news that it was imported")
	require.Subset(t, after, before)
}

// Any accounts that there can be: exported and imported again they are all unchanged.
func TestWhatIsExportedIsUnchangedWhenItIsImported(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	names := rapid.OneOf(rapid.StringMatching(`'{0,2}[=+@＝＋－＠-][a-z",;' ]{0,10}[a-z"',;]`), rapid.StringN(1, 60, -1)).
		Filter(func(s string) bool {
			a := account(1, provision.ModelSPAM)
			a.Name = s
			return len(provision.ValidateAccount(a)) == 0
		})
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		for range rapid.IntRange(1, 3).Draw(rt, "more accounts") {
			n++
			a := account(n, rapid.SampledFrom([]provision.Model{provision.ModelSPAM, provision.ModelECAM}).Draw(rt, "model"))
			a.Name = names.Draw(rt, "name")
			// No two accounts have the same address.
			a.RootEmail = rapid.StringMatching(`[+=-]?[a-z]{1,8}`).Draw(rt, "user") + strconv.Itoa(n) + "@a.example"
			_, _, err := store.Accounts.Create(ctx, a, "test")
			require.NoError(rt, err)
		}
		accounts, err := store.Accounts.List(ctx, "acme", provision.AccountFilter{Limit: 1000})
		require.NoError(rt, err)
		var file bytes.Buffer
		out := stockcsv.NewWriter(&file)
		for _, a := range accounts {
			out.Write(a)
		}
		require.NoError(rt, out.Flush())
		scanned, err := stockcsv.Scan(file.Bytes())
		require.NoError(rt, err)
		i, err := store.Imports.Create(ctx,
			provision.NewImport{ImportKey: provision.ImportKey{Provider: "acme", ID: uuid.NewString()}, Actor: "test",
				File: scanned.Text, Rows: scanned.Rows, NextOffset: scanned.First.Offset, NextLine: scanned.First.Line})
		require.NoError(rt, err)
		i, messages := finish(t, store, i)
		require.Empty(rt, messages)
		require.Equal(rt, []int{len(accounts), 0, len(accounts)}, []int{i.RowsTotal, i.Added, i.Unchanged})
	})
}

func TestADryRunWritesNothing(t *testing.T) {
	t.Parallel()
	_, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	before := dump(t, db)
	i, messages := finish(t, store, createImport(t, store, csvRows(1, 3)+csvRow(3)+"x\n", true))
	require.Equal(t, []int{2, 1, 2}, []int{i.Added, i.Unchanged, i.Faulty}, "what would become of it")
	require.Len(t, messages, 2)
	require.ElementsMatch(t, before, dump(t, db))
}

func TestAnImportNeverEditsAndNamesWhatDiffers(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 2)
	foreign := account(3, provision.ModelSPAM)
	foreign.Provider = "other"
	_, err := store.Pools.Create(ctx, "test", provision.DefaultPool(foreign.Pool))
	require.NoError(t, err)
	_, _, err = store.Accounts.Create(ctx, foreign, "test")
	require.NoError(t, err)
	mine, err := store.Accounts.Get(ctx, "acme", fmt.Sprintf("%012d", 2))
	require.NoError(t, err)

	protected := strings.NewReplacer(fmt.Sprintf("%012d", 9), protectedIDs[0]).Replace(csvRow(9))
	i, messages := importRows(t, store, strings.NewReplacer("account 0", "another 0", "root+", "boot+").Replace(csvRow(1))+ // line 2
		csvRow(2)+ // identical
		csvRow(3)+ // another provider's
		strings.Replace(csvRow(4), "north", "south", 1)+
		strings.Replace(csvRow(5), "SPAM", "GCP", 1)+
		protected+
		csvRow(6)+csvRow(6)+ // lines 8 and 9
		csvRow(7)) // and the good ones are added
	require.Equal(t, []string{
		"2:name:5: account 000000000001 is in the pool with a different name, root_email: " +
			"an import never updates accounts; update the account itself, or correct the row",
		"4:account_id:1: account 000000000003 is in a pool already and cannot be added: " +
			"an AWS account can be in only one pool; remove the row",
		`5:marketplace:2: there is no pool for marketplace "south" in environment "production": ` +
			"correct one of them, or ask for that pool first",
		`6:model:4: "GCP" is not an account model: use SPAM or ECAM`,
		"7:account_id:1: account 999999999999 is protected: " +
			"a payer account or one of the provider's own accounts cannot be in a pool; remove the row",
		"9:account_id:1: account 000000000006 is in line 8 of this file already: keep one of the two rows",
	}, messages)
	require.Equal(t, []int{2, 1, 6}, []int{i.Added, i.Unchanged, i.Faulty})
	results, err := store.Imports.Results(ctx, i.ImportKey,
		provision.ImportResultFilter{Limit: 4, After: &provision.ImportResultCursor{Line: 6}})
	require.NoError(t, err)
	require.Equal(t, []provision.RowOutcome{"faulty", "added", "faulty", "added"},
		[]provision.RowOutcome{results[0].Outcome, results[1].Outcome, results[2].Outcome, results[3].Outcome})
	require.Equal(t, fmt.Sprintf("%012d", 6), results[1].AccountID)
	faulty, err := store.Imports.Results(ctx, i.ImportKey,
		provision.ImportResultFilter{Outcomes: []provision.RowOutcome{provision.RowFaulty}, Limit: 100})
	require.NoError(t, err)
	require.Len(t, faulty, 6)
	after, err := store.Accounts.Get(ctx, "acme", mine.ID)
	require.NoError(t, err)
	require.Equal(t, mine, after)
	still, err := store.Accounts.Get(ctx, "other", foreign.ID)
	require.NoError(t, err)
	require.Equal(t, foreign.Name, still.Name)
	_, err = store.Imports.Get(ctx, provision.ImportKey{Provider: "other", ID: i.ID})
	require.ErrorIs(t, err, provision.ErrNotFound, "the imports of others are not found")
	_, err = store.Imports.Results(ctx, provision.ImportKey{Provider: "other", ID: i.ID}, provision.ImportResultFilter{Limit: 1})
	require.ErrorIs(t, err, provision.ErrNotFound)
}

func TestAnImportRefusesWhatTheProviderProtects(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	_, err := store.ProtectedAccounts.Protect(ctx, "test", "acme", account(2, "").ID, "payer")
	require.NoError(t, err)
	_, err = store.ProtectedAccounts.Protect(ctx, "test", "other", account(3, "").ID, "another provider's payer")
	require.NoError(t, err)
	for _, dryRun := range []bool{true, false} {
		done, messages := finish(t, store, createImport(t, store, csvRows(1, 3), dryRun))
		require.Equal(t, 2, done.Added)
		require.Len(t, messages, 1)
		require.Contains(t, messages[0], "3:account_id:1: account "+account(2, "").ID+" is protected")
	}
}

func TestExternalIDsAreMadeHere(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	mine, err := store.Accounts.Get(ctx, "acme", fmt.Sprintf("%012d", 1))
	require.NoError(t, err)
	with := func(i int, externalID string) string { return strings.TrimSpace(csvRow(i)) + "," + externalID + "\n" }
	file, err := stockcsv.Scan([]byte(strings.TrimSpace(stockcsv.Template()) + ",external_id\n" + with(1, mine.ExternalID) + with(1, "") +
		with(2, "mine-and-mine-alone") + with(3, "")))
	require.NoError(t, err)
	i, err := store.Imports.Create(ctx,
		provision.NewImport{
			ImportKey: provision.ImportKey{Provider: "acme", ID: uuid.NewString()}, Actor: "cli",
			File: file.Text, Rows: file.Rows, NextOffset: file.First.Offset, NextLine: file.First.Line,
		})
	require.NoError(t, err)
	i, messages := finish(t, store, i)
	require.Equal(t, []int{1, 1, 2}, []int{i.Added, i.Unchanged, i.Faulty})
	require.Len(t, messages, 2)
	require.Contains(t, messages[0], "is in line 2 of this file already")
	require.Contains(t, messages[1], "4:external_id:8: Quartermaster makes the external id")
}

// Each batch may be lost at any point of it: what is committed is whole.
func TestACrashInTheMiddleLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	_, store, db := setup(t)
	rows := csvRows(1, 700) + csvRow(3) + "broken\n" + csvRows(701, 1600)
	i := createImport(t, store, rows, false)
	crashes := 0
	// a crash a little later each time
	for patience := time.Millisecond; i.State == provision.ImportRunning; patience += 3 * time.Millisecond {
		ctx, crash := context.WithTimeout(t.Context(), patience)
		_, _, err := store.Imports.RunBatch(ctx, i.ImportKey, nil)
		crash()
		if err != nil {
			crashes++
		}
		i, err = store.Imports.Get(t.Context(), i.ImportKey)
		require.NoError(t, err)
	}
	require.Positive(t, crashes)
	require.Equal(t, provision.ImportCompleted, i.State)
	require.Equal(t, []int{1602, 1600, 0, 2, 2}, []int{i.RowsDone, i.Added, i.Unchanged, i.Faulty, i.Messages})
	for table, want := range map[string]int{"accounts": 1600, "account_history": 1600, "account_import_results": 1602} {
		var got int
		require.NoError(t, db.Get(&got, `SELECT count(*) FROM `+table))
		require.Equal(t, want, got, table)
	}
}

// Two workers at the same import, and another import of the same accounts at the same time.
func TestImportsAtTheSameTimeAddEachAccountOnce(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	one, other := createImport(t, store, csvRows(1, 1500), false), createImport(t, store, csvRows(1, 1500), false)
	var running errgroup.Group
	for _, key := range []provision.ImportKey{one.ImportKey, one.ImportKey, other.ImportKey} {
		running.Go(func() error {
			for {
				i, _, err := store.Imports.RunBatch(ctx, key, nil)
				if err != nil || i.State != provision.ImportRunning {
					return err
				}
			}
		})
	}
	require.NoError(t, running.Wait())
	one, err := store.Imports.Get(ctx, one.ImportKey)
	require.NoError(t, err)
	other, err = store.Imports.Get(ctx, other.ImportKey)
	require.NoError(t, err)
	require.Equal(t, 1500, one.Added+other.Added)
	require.Equal(t, 1500, one.Unchanged+other.Unchanged)
	var events int
	require.NoError(t, db.Get(&events, `SELECT count(*) FROM account_history`))
	require.Equal(t, 1500, events)
}

func TestAnAbandonedImportIsGivenUp(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	dead, old := createImport(t, store, csvRows(1, 600), false), createImport(t, store, csvRow(1), true)
	finish(t, store, old)
	_, _, err := store.Imports.RunBatch(ctx, dead.ImportKey, nil)
	require.NoError(t, err)
	_, err = db.Exec(`UPDATE account_imports
		SET progressed_at = now() - interval '25 hours', finished_at = finished_at - interval '91 days'`)
	require.NoError(t, err)
	next := createImport(t, store, csvRows(1, 600), false)
	dead, err = store.Imports.Get(ctx, dead.ImportKey)
	require.NoError(t, err)
	require.Equal(t, provision.ImportFailed, dead.State)
	require.Contains(t, dead.Reason, "import the file again")
	after, _, err := store.Imports.RunBatch(ctx, dead.ImportKey, nil)
	require.NoError(t, err)
	require.Equal(t, dead, after, "it does not come back to life")
	_, err = store.Imports.Get(ctx, old.ImportKey)
	require.ErrorIs(t, err, provision.ErrNotFound, "after 90 days it is forgotten")
	next, _ = finish(t, store, next)
	require.Equal(t, []int{100, 500}, []int{next.Added, next.Unchanged})

	stopped := createImport(t, store, csvRow(1), false)
	require.NoError(t, store.Imports.Fail(ctx, stopped.ImportKey, "interrupted"))
	require.NoError(t, store.Imports.Fail(ctx, next.ImportKey, "too late"))
	list, err := store.Imports.List(ctx, "acme", 2, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"interrupted", ""}, []string{list[0].Reason, list[1].Reason}, "newest first")
	list, err = store.Imports.List(ctx, "acme", 5, &provision.ImportCursor{StartedAt: list[1].StartedAt, ID: list[1].ID})
	require.NoError(t, err)
	require.Equal(t, []string{dead.ID}, []string{list[0].ID})
	require.Len(t, list, 1)
}
