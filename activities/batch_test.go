package activities

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"quartermaster/internal/provision"
	"quartermaster/internal/verbs"
)

// batchWorld is a batch of orders in memory, and how their workflows answer.
type batchWorld struct {
	verbs.Orders
	verbs.Workflows
	Batches
	mu      sync.Mutex
	ids     []string
	answers map[string][]error // of an order, one after the other; then it has received the action
	broken  error              // of the database
	asked   map[string][]string
	ended   map[string]string
}

func (w *batchWorld) Next(context.Context, provision.BatchKey, int) (b provision.Batch, rows []provision.BatchRow, err error) {
	b = provision.Batch{BatchKey: provision.BatchKey{Provider: "acme", ID: "b"}, State: provision.BatchRunning, Verb: provision.BatchRetry,
		Targets: provision.BatchOrders, Tenant: provision.Tenant{Provider: "acme"}, Actor: "key k1", Reason: "because"}
	for i, id := range w.ids {
		if w.ended[id] == "" {
			rows = append(rows, provision.BatchRow{N: i + 1, ID: id})
		}
	}
	return b, rows, nil
}

func (w *batchWorld) Advance(context.Context, provision.BatchKey) (provision.Batch, error) {
	return provision.Batch{State: provision.BatchCompleted, BatchCount: provision.BatchCount{Total: len(w.ids), Done: len(w.ended)}}, nil
}

func (w *batchWorld) EndRow(_ context.Context, _ provision.BatchKey, n int, outcome provision.BatchOutcome, why provision.Refusal) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended[w.ids[n-1]] = fmt.Sprintf("%s %s", outcome, why.Code)
	return nil
}

func (w *batchWorld) Get(_ context.Context, of provision.Tenant, id string) (provision.OrderView, error) {
	view := provision.OrderView{Order: provision.Order{OrderKey: provision.OrderKey{Provider: of.Provider, ID: id}},
		State: provision.ActionRequired}
	return view, w.broken
}

func (w *batchWorld) NoteRefusal(context.Context, provision.OrderKey, string, []string, provision.Code, provision.Intervention) error {
	return nil
}

func (w *batchWorld) ActionNoted(context.Context, provision.OrderKey, string) (bool, error) {
	return false, nil
}

func (w *batchWorld) Act(_ context.Context, key provision.OrderKey, _ string, by provision.Intervention) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[key.ID] = append(w.asked[key.ID], by.ID)
	if answers := w.answers[key.ID]; len(answers) > 0 {
		w.answers[key.ID] = answers[1:]
		return answers[0]
	}
	return nil
}

func (w *batchWorld) run() (now BatchProgress, err error) {
	acts := &Activities{Database: Database{Batches: w}, Batching: Batching{Pause: time.Millisecond,
		Verbs: verbs.Verbs{Orders: w, Workflows: w, Log: slog.New(slog.DiscardHandler)}}}
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(acts)
	result, err := env.ExecuteActivity(acts.RunBatchRows, provision.BatchKey{Provider: "acme", ID: "b"})
	if err == nil {
		err = result.Get(&now)
	}
	return now, err
}

func setupBatch(ids ...string) *batchWorld {
	return &batchWorld{ids: ids, answers: map[string][]error{}, asked: map[string][]string{}, ended: map[string]string{}}
}

func TestARowWhoseAnswerIsUnknownIsTriedAgainAndThenHasFailed(t *testing.T) {
	t.Parallel()
	w := setupBatch("good", "late", "lost", "odd", "refuses")
	lost := fmt.Errorf("no answer: %w", provision.ErrUnavailable)
	odd := errors.New("odd")
	w.answers["late"] = []error{lost}
	w.answers["lost"] = []error{lost, lost, lost, lost}
	w.answers["odd"] = []error{odd, odd, odd, odd}
	w.answers["refuses"] = []error{&provision.Failure{Code: provision.CodeNotAsked, Reason: "no"}}
	now, err := w.run()
	require.NoError(t, err)
	require.Equal(t, provision.BatchCompleted, now.State)
	require.Equal(t, map[string]string{"good": "done ", "late": "done ", "lost": "failed Unavailable", "odd": "failed Internal",
		"refuses": "refused NotAsked"}, w.ended)
	require.Equal(t, map[string][]string{"good": {"b/1"}, "late": {"b/2", "b/2"}, "lost": {"b/3", "b/3", "b/3"}, "odd": {"b/4", "b/4", "b/4"},
		"refuses": {"b/5"}}, w.asked, "each try of a row has the same id, so that no order is acted on twice")
}

func TestAnOutageOfTheDatabaseFailsNoRow(t *testing.T) {
	t.Parallel()
	w := setupBatch("a", "b")
	w.broken = fmt.Errorf("down: %w", provision.ErrUnavailable)
	_, err := w.run()
	require.Error(t, err, "Temporal repeats the activity")
	require.Empty(t, w.ended)
	w.broken = nil
	_, err = w.run()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": "done ", "b": "done "}, w.ended)
}
