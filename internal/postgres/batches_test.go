package postgres_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

func newBatch(verb provision.BatchVerb, ids ...string) provision.NewBatch {
	return provision.NewBatch{
		BatchKey: provision.BatchKey{Provider: "acme", ID: uuid.NewString()}, Tenant: provision.Tenant{Provider: "acme"}, Actor: "key k1",
		Reason: "because", Expected: len(ids), Selection: provision.BatchSelection{Verb: verb, IDs: ids}, RequestHash: make([]byte, 32),
	}
}

// rowsOf are the rows of a batch, each in a few words.
func rowsOf(t *testing.T, store *postgres.DB, key provision.BatchKey, outcomes ...provision.BatchOutcome) (words []string) {
	t.Helper()
	rows, err := store.Batches.Rows(t.Context(), key, provision.BatchRowFilter{Outcomes: outcomes, Limit: 1000})
	require.NoError(t, err)
	for _, r := range rows {
		require.Equal(t, r.Outcome == provision.RowWaiting, r.EndedAt == nil)
		words = append(words, fmt.Sprintf("%d %s %s %s", r.N, r.ID, r.Outcome, r.Code))
	}
	return words
}

func TestAFilterIsResolvedWhenTheBatchIsCreated(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	for i := range 3 {
		open(t, store, fmt.Sprintf("o-%d", i), provision.ModelSPAM)
	}
	n := newBatch(provision.BatchCancel)
	n.Selection.Orders = provision.OrderFilter{Model: provision.ModelSPAM}
	count, err := store.Batches.Count(ctx, n.Tenant, n.Selection)
	require.NoError(t, err)
	require.Equal(t, 3, count)

	n.Expected = 2
	_, err = store.Batches.Create(ctx, n)
	changed, ok := errors.AsType[*provision.CountChangedError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, provision.CountChangedError{Expected: 2, Found: 3}, *changed)
	_, err = store.Batches.Get(ctx, n.Tenant, n.ID)
	require.ErrorIs(t, err, provision.ErrNotFound, "nothing happened")

	n.Expected = 3
	b, err := store.Batches.Create(ctx, n)
	require.NoError(t, err)
	require.Equal(t, provision.BatchRunning, b.State)
	require.Equal(t, provision.BatchCount{Total: 3}, b.BatchCount)
	open(t, store, "o-3", provision.ModelSPAM)
	require.Equal(t, []string{"1 o-2 waiting ", "2 o-1 waiting ", "3 o-0 waiting "}, rowsOf(t, store, b.BatchKey),
		"newest first, as in the list")

	_, err = store.Batches.Create(ctx, n)
	require.ErrorAs(t, err, &changed, "the count is checked first")
	n.Expected = 4
	_, err = store.Batches.Create(ctx, n)
	require.ErrorIs(t, err, provision.ErrConflict)
}

func TestCandidatesSayWhyTheyWillRefuse(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	open(t, store, "waits", provision.ModelSPAM)
	createAccounts(t, store, provision.ModelECAM, 1, 2)
	key := open(t, store, "asks", provision.ModelECAM)
	claim(t, store, key)
	require.NoError(t, store.Orders.RequireAction(ctx, key, provision.Failure{Code: provision.CodeAliasTaken, Reason: "taken"}))

	candidates, err := store.Batches.Candidates(ctx, provision.Tenant{Provider: "acme"},
		provision.BatchSelection{Verb: provision.BatchRetry, IDs: []string{"asks", "waits", "unknown"}})
	require.NoError(t, err)
	require.Equal(t, []provision.BatchCandidate{
		{ID: "asks", State: "action_required"},
		{ID: "waits", State: "accepted", Refusal: provision.Refusal{Code: provision.CodeNotAsked,
			Message: `order "waits" is accepted: it waits for nothing that a retry could repeat`}},
		{ID: "unknown", Refusal: provision.Refusal{Code: provision.CodeNotFound, Message: `order "unknown" not found`}},
	}, candidates)
	candidates, err = store.Batches.Candidates(ctx, provision.Tenant{Provider: "acme", Marketplaces: []string{"south"}},
		provision.BatchSelection{Verb: provision.BatchRetry, IDs: []string{"asks"}})
	require.NoError(t, err)
	require.Equal(t, provision.CodeNotFound, candidates[0].Code, "of another marketplace")
	require.Empty(t, candidates[0].State)

	accounts := provision.BatchSelection{Verb: provision.BatchDelete, Accounts: provision.AccountFilter{Model: provision.ModelECAM}}
	candidates, err = store.Batches.Candidates(ctx, provision.Tenant{Provider: "acme"}, accounts)
	require.NoError(t, err)
	require.Equal(t, []provision.BatchCandidate{
		{ID: "000000000001", State: "provisioning", Refusal: provision.Refusal{Code: provision.CodeConflict,
			Message: "account 000000000001 is Provisioning in progress: only an account that is Ready or Invalid can be deleted"}},
		{ID: "000000000002", State: "ready"},
	}, candidates)
	none, err := store.Batches.Candidates(ctx, provision.Tenant{Provider: "other"}, accounts)
	require.NoError(t, err)
	require.Empty(t, none, "another provider's")
}

func TestTheRowOfAnAccountChangesWithTheAccountAndOnce(t *testing.T) {
	t.Parallel()
	for _, verb := range []provision.BatchVerb{provision.BatchVerify, provision.BatchInvalidate, provision.BatchReturn,
		provision.BatchDelete} {
		ctx, store, db := setup(t)
		createAccounts(t, store, provision.ModelSPAM, 1, 1)
		id := account(1, provision.ModelSPAM).ID
		if verb == provision.BatchReturn {
			_, _, err := store.Accounts.Invalidate(ctx, "test", "acme", id, 0, "broken")
			require.NoError(t, err)
		}
		b, err := store.Batches.Create(ctx, newBatch(verb, id))
		require.NoError(t, err)
		b, rows, err := store.Batches.Next(ctx, b.BatchKey, 10)
		require.NoError(t, err)
		require.Len(t, rows, 1)
		var together errgroup.Group
		for range 3 { // attempts that overlap
			together.Go(func() error {
				if _, err := store.Batches.ChangeAccount(ctx, b, rows[0]); !errors.Is(err, provision.ErrNotFound) {
					return err // of a deleted account nothing is found
				}
				return store.Batches.EndRow(ctx, b.BatchKey, rows[0].N, provision.RowRefused, provision.Refusal{Code: "NotFound", Message: "gone"})
			})
		}
		require.NoError(t, together.Wait(), verb)
		require.Equal(t, []string{"1 " + id + " done "}, rowsOf(t, store, b.BatchKey), verb)
		var noted int
		require.NoError(t, db.Get(&noted, `SELECT count(*) FROM account_history WHERE account_id = $1 AND actor = 'key k1'
			AND reason LIKE '%because%' AND refused = ''`, id))
		require.Equal(t, 1, noted, verb)
		b, err = store.Batches.Advance(ctx, b.BatchKey)
		require.NoError(t, err)
		require.Equal(t, provision.BatchCompleted, b.State)
		require.Equal(t, provision.BatchCount{Total: 1, Done: 1}, b.BatchCount)
		require.NotNil(t, b.FinishedAt)
	}
}

func TestARefusedAccountStaysAndItsRowWaits(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	id := account(1, provision.ModelSPAM).ID
	b, err := store.Batches.Create(ctx, newBatch(provision.BatchReturn, id))
	require.NoError(t, err)
	_, err = store.Batches.ChangeAccount(ctx, b, provision.BatchRow{N: 1, ID: id})
	refused, ok := errors.AsType[*provision.StateError](err)
	require.True(t, ok, "%v", err)
	require.Contains(t, refused.Reason, "is Ready: only an account that is")
	require.Equal(t, []string{"1 " + id + " waiting "}, rowsOf(t, store, b.BatchKey))
	history, err := store.Accounts.History(ctx, "acme", id, 0, 10)
	require.NoError(t, err)
	require.Equal(t, provision.CodeConflict, history[len(history)-1].Refused, "the history has the refusal, as of a single request")
}

func TestABatchIsCountedListedAndStopped(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	n := newBatch(provision.BatchCancel, "a", "b", "c", "d")
	n.Tenant.Marketplaces = []string{"north"}
	b, err := store.Batches.Create(ctx, n)
	require.NoError(t, err)
	why := provision.Refusal{Code: provision.CodeTooLate, Message: "over"}
	require.NoError(t, store.Batches.EndRow(ctx, b.BatchKey, 1, provision.RowDone, provision.Refusal{}))
	require.NoError(t, store.Batches.EndRow(ctx, b.BatchKey, 2, provision.RowRefused, why))
	require.NoError(t, store.Batches.EndRow(ctx, b.BatchKey, 1, provision.RowFailed, why), "a row keeps its outcome")
	b, err = store.Batches.Advance(ctx, b.BatchKey)
	require.NoError(t, err)
	require.Equal(t, provision.BatchCount{Total: 4, Done: 1, Refused: 1}, b.BatchCount)
	require.Equal(t, []string{"2 b refused TooLate"}, rowsOf(t, store, b.BatchKey, provision.RowRefused))
	_, rows, err := store.Batches.Next(ctx, b.BatchKey, 1)
	require.NoError(t, err)
	require.Equal(t, 3, rows[0].N)

	for marketplaces, sees := range map[string]bool{"north": true, "south": false} {
		of := provision.Tenant{Provider: "acme", Marketplaces: []string{marketplaces}}
		_, err := store.Batches.Get(ctx, of, b.ID)
		require.Equal(t, sees, err == nil, "%v", err)
		listed, err := store.Batches.List(ctx, of, provision.BatchFilter{Targets: []provision.BatchTargets{provision.BatchOrders}, Limit: 10})
		require.NoError(t, err)
		require.Equal(t, sees, len(listed) == 1)
	}
	ofAll, err := store.Batches.Create(ctx, newBatch(provision.BatchCancel, "a"))
	require.NoError(t, err)
	_, err = store.Batches.Get(ctx, n.Tenant, ofAll.ID)
	require.ErrorIs(t, err, provision.ErrNotFound, "it may name orders of other marketplaces")
	accounts, err := store.Batches.List(ctx, provision.Tenant{Provider: "acme"},
		provision.BatchFilter{Targets: []provision.BatchTargets{provision.BatchAccounts}, Limit: 10})
	require.NoError(t, err)
	require.Empty(t, accounts)

	for _, first := range []bool{true, false} {
		stopped, err := store.Batches.Stop(ctx, b.BatchKey, "enough")
		require.NoError(t, err)
		require.Equal(t, first, stopped)
	}
	b, rows, err = store.Batches.Next(ctx, b.BatchKey, 10)
	require.NoError(t, err)
	require.Empty(t, rows)
	require.Equal(t, provision.BatchStopped, b.State)
	require.Equal(t, "enough", b.StoppedBecause)
	for n := 3; n <= 4; n++ { // rows that had begun
		require.NoError(t, store.Batches.EndRow(ctx, b.BatchKey, n, provision.RowDone, provision.Refusal{}))
	}
	b, err = store.Batches.Advance(ctx, b.BatchKey)
	require.NoError(t, err)
	require.Equal(t, provision.BatchStopped, b.State, "it stays stopped")
	require.Equal(t, 3, b.Done)
}

func TestABatchWithoutAWorkflowIsStoppedAndAnOldOneForgotten(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	lost, err := store.Batches.Create(ctx, newBatch(provision.BatchCancel, "a"))
	require.NoError(t, err)
	db.MustExec(`UPDATE batches SET progressed_at = now() - interval '25 hours'`)
	_, err = store.Batches.Create(ctx, newBatch(provision.BatchCancel, "b"))
	require.NoError(t, err)
	lost, err = store.Batches.Get(ctx, lost.Tenant, lost.ID)
	require.NoError(t, err)
	require.Equal(t, provision.BatchStopped, lost.State)
	require.Equal(t, "it made no progress for 24 hours", lost.StoppedBecause)

	db.MustExec(`UPDATE batches SET finished_at = now() - interval '91 days' WHERE id = $1`, lost.ID)
	_, err = store.Batches.Create(ctx, newBatch(provision.BatchCancel, "c"))
	require.NoError(t, err)
	_, err = store.Batches.Get(ctx, lost.Tenant, lost.ID)
	require.ErrorIs(t, err, provision.ErrNotFound)
	require.Empty(t, rowsOf(t, store, lost.BatchKey), "its rows are gone with it")
}

// The largest batch is created, read and begun in a moment.
func TestTheLargestBatch(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	db.MustExec(`INSERT INTO accounts (id, provider, marketplace, environment, model, name, root_email, role_arn, external_id, status, reason)
		SELECT to_char(n, 'FM000000000000'), 'acme', 'north', 'production', 'SPAM', 'n', 'r' || n || '@a.test', 'arn:aws:iam::' ||
			to_char(n, 'FM000000000000') || ':role/q',
			'external-id-' || n || '-or-so', 'invalid', 'r' FROM generate_series(1, $1) n, (SELECT set_config('qm.actor', 'test',
				true)) actor`, provision.MaxBatch+1)
	n := newBatch(provision.BatchVerify)
	count, err := store.Batches.Count(ctx, n.Tenant, n.Selection)
	require.NoError(t, err)
	require.Equal(t, provision.MaxBatch+1, count, "more than a batch may have is not counted further")
	require.NoError(t, store.Accounts.Delete(ctx, "test", "acme", "000000000001", 0, ""))
	n.Expected = provision.MaxBatch
	b, err := store.Batches.Create(ctx, n)
	require.NoError(t, err)
	require.Equal(t, provision.MaxBatch, b.Total)
	candidates, err := store.Batches.Candidates(ctx, n.Tenant, n.Selection)
	require.NoError(t, err)
	require.Len(t, candidates, provision.MaxBatch)
	_, rows, err := store.Batches.Next(ctx, b.BatchKey, 40)
	require.NoError(t, err)
	require.Len(t, rows, 40)
	require.Equal(t, 1, rows[0].N)
}
