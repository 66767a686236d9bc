package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"quartermaster/api"
	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
	"quartermaster/internal/webhooks"
	"quartermaster/workflows"
)

// service is the API of acme on a database, with an admin's key.
type service struct {
	t         *testing.T
	database  string
	store     *postgres.DB
	workflows *rowWorkflows
	temporal  *temporalState
	url       string
	keyFile   string
	retryFor  string
	accounts  int // how many accounts were created for orders
}

func setupAPI(t *testing.T) *service {
	t.Helper()
	url, store := setupStock(t)
	s := &service{t: t, database: url, store: store, retryFor: "2s", temporal: &temporalState{workers: 2}, workflows: &rowWorkflows{db: store}}
	ring := ringOf(t, secrets.GenerateKey("k1"))
	handler, err := api.New(api.Config{
		Database:          databaseOf(store),
		Workflows:         s.workflows,
		Health:            examinerOf(store, s.temporal),
		Opener:            ring,
		Sealer:            ring,
		Signer:            ring,
		PublicURL:         "http://127.0.0.1:8080",
		ProtectedIDs:      []string{protectedByConfiguration},
		RequestsPerSecond: 10_000,
		WebhookPolicy:     webhooks.Policy{Loopback: true},
		Log:               slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	text, err := call(t, "providers", "key", "acme", "--database-url="+url)
	require.NoError(t, err)
	s.url, s.keyFile = server.URL, keyFile(t, text)
	return s
}

// protectedByConfiguration is an account that the service's configuration protects.
const protectedByConfiguration = "000000020003"

func keyFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// options are what every command that goes through the API needs.
func (s *service) options() []string {
	return []string{"--api-url=" + s.url, "--api-key-file=" + s.keyFile, "--retry-wait=1ms", "--retry-for=" + s.retryFor}
}

// with runs a command with these streams.
func (s *service) with(std streams, args ...string) result {
	if std.in == nil {
		std.in = strings.NewReader("")
	}
	return callWith(s.t.Context(), std, append(args, s.options()...)...)
}

// run runs a command without a terminal.
func (s *service) run(args ...string) result { return s.with(streams{}, args...) }

// must runs a command that succeeds, and returns its output.
func (s *service) must(args ...string) string {
	s.t.Helper()
	r := s.run(args...)
	require.NoError(s.t, r.err, "%v: %s", args, r.logs)
	return strings.TrimSpace(r.out)
}

// get reads a path of the API.
func (s *service) get(path string) string {
	s.t.Helper()
	key, err := os.ReadFile(s.keyFile)
	require.NoError(s.t, err)
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+path, http.NoBody)
	require.NoError(s.t, err)
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(key)))
	answer, err := http.DefaultClient.Do(request)
	require.NoError(s.t, err)
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusOK, answer.StatusCode, string(body))
	return strings.TrimSpace(string(body))
}

// rowWorkflows does at once, on the rows, what the workflows of orders and imports do in the end.
type rowWorkflows struct {
	api.Workflows // of what no command uses
	db            *postgres.DB

	refusePassword *provision.Failure
	slowPassword   bool

	mu   sync.Mutex
	lost int // how many answers about a new order are lost from now on
}

func (w *rowWorkflows) StartOrder(ctx context.Context, order provision.Order, hash []byte) (bool, *provision.Order, []byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.db.Orders.Open(ctx, order); err != nil {
		return false, nil, nil, err
	}
	if w.lost > 0 {
		w.lost--
		return false, nil, nil, fmt.Errorf("the answer is lost: %w", provision.ErrUnavailable)
	}
	return true, nil, hash, nil
}

func (w *rowWorkflows) OrderNotYetStored(context.Context, provision.Tenant, string) (*provision.Order, error) {
	return nil, provision.ErrNotFound
}

func (w *rowWorkflows) Correct(ctx context.Context, key provision.OrderKey, fields provision.Correction, by provision.Intervention) error {
	order, err := w.db.Orders.Get(ctx, key.Tenant(), key.ID)
	if err == nil && order.State != provision.ActionRequired {
		err = &provision.Failure{Code: provision.CodeNotAsked, Reason: "the order asks for nothing"}
	}
	if err != nil {
		return err
	}
	return errors.Join(w.db.Orders.Correct(ctx, key, fields.Apply(order.Request), by), w.db.Orders.Resume(ctx, key))
}

func (w *rowWorkflows) Act(ctx context.Context, key provision.OrderKey, verb string, by provision.Intervention) error {
	order, err := w.db.Orders.Get(ctx, key.Tenant(), key.ID)
	switch {
	case err != nil:
		return err
	case order.State.Ended():
		return &provision.Failure{Code: provision.CodeTooLate, Reason: "order has ended"}
	case verb == workflows.UpdateRetry && order.State != provision.ActionRequired:
		return &provision.Failure{Code: provision.CodeNotAsked, Reason: "the order waits for nothing that could be retried"}
	case verb == workflows.UpdateRetry:
		return errors.Join(w.db.Orders.NoteAction(ctx, key, verb, by), w.db.Orders.Resume(ctx, key))
	case verb == workflows.UpdateEndUndo:
		return w.db.Orders.NoteAction(ctx, key, verb, by)
	}
	code := map[string]provision.Code{
		workflows.UpdateCancel: provision.CodeOrderCancelled, workflows.UpdateFail: provision.CodeFailedByOperator,
		workflows.UpdateSwap: provision.CodeAccountSwappedByOperator,
	}[verb]
	return w.db.Orders.Stop(ctx, key, verb, provision.Failure{Code: code, Reason: "stopped: " + by.Reason}, by)
}

// IssuePassword sets the password: at once, or a moment after it has answered that it takes longer. AWS refuses with refusePassword.
func (w *rowWorkflows) IssuePassword(
	ctx context.Context, key provision.OrderKey, request provision.PasswordRequest, _ time.Duration,
) (outcome provision.PasswordOutcome, ended bool, err error) {
	account, err := w.db.Passwords.Request(ctx, key, request)
	if err != nil {
		return outcome, false, err
	}
	set := func() error {
		if w.refusePassword == nil {
			if _, err := w.db.Passwords.KeepNew(ctx, key, account, request.By, []byte("sealed"), false); err != nil {
				return err
			}
		}
		return w.db.Passwords.EndRequest(ctx, key, request.By.ID, w.refusePassword)
	}
	if outcome.Refused = w.refusePassword; !w.slowPassword {
		return outcome, true, set()
	}
	ctx = context.WithoutCancel(ctx)
	time.AfterFunc(100*time.Millisecond, func() { _ = set() }) // the test misses the password if there was an error
	return outcome, false, nil
}

func (w *rowWorkflows) VerifyDue(context.Context) error                                  { return nil }
func (w *rowWorkflows) RemoveLeftovers(context.Context, provision.LeftoverRemoval) error { return nil }
func (w *rowWorkflows) WakeWebhooks(context.Context, []provision.WebhookKey) error       { return nil }
func (w *rowWorkflows) WakeOrders(context.Context, []provision.OrderKey) error           { return nil }
func (w *rowWorkflows) StartImport(context.Context, provision.ImportKey) error           { return nil }

// ImportKept imports the rows in the background, as a workflow does. The context is that of a hint, which is short.
func (w *rowWorkflows) ImportKept(ctx context.Context, key provision.ImportKey) error {
	ctx = context.WithoutCancel(ctx)
	go func() {
		for {
			now, _, err := w.db.Imports.RunBatch(ctx, key, []string{protectedByConfiguration})
			if err != nil || now.State != provision.ImportRunning {
				return // the test misses the end of the import if there was an error
			}
		}
	}()
	return nil
}

// order creates an order in a state, with an account if it needs one.
func (s *service) order(id string, state provision.OrderState) {
	s.t.Helper()
	ctx, orders, key := s.t.Context(), s.store.Orders, provision.OrderKey{Provider: "acme", ID: id}
	by := provision.Intervention{Actor: "test", ID: uuid.NewString()}
	request := provision.Request{
		Marketplace: "nordic", Environment: provision.Production, OrderMode: provision.OrderModeNewAccount, IAMUserName: "anna.berg",
		ContactName: "Anna Berg", AccountAlias: "berg-logistics",
	}
	if state == provision.WaitingForAccount {
		request.AccountModel = provision.ModelECAM
	}
	_, err := orders.Open(ctx, provision.Order{OrderKey: key, Request: request, AcceptedAt: time.Now()})
	require.NoError(s.t, err)
	switch state {
	case provision.Accepted:
	case provision.WaitingForAccount:
		_, err := orders.Claim(ctx, key)
		require.NoError(s.t, err)
	case provision.Failed:
		require.NoError(s.t, orders.Stop(ctx, key, "fail", provision.Failure{Code: provision.CodeFailedByOperator, Reason: "given up"}, by))
	case provision.Cancelled:
		require.NoError(s.t, orders.Stop(ctx, key, "cancel", provision.Failure{Code: provision.CodeOrderCancelled}, by))
	default:
		s.allot(key, state)
	}
}

// allot gives the order a new account and brings it into the state.
func (s *service) allot(key provision.OrderKey, state provision.OrderState) {
	s.t.Helper()
	ctx := s.t.Context()
	s.accounts++
	id := fmt.Sprintf("%012d", 500_000+s.accounts)
	s.account(id, provision.AccountReady)
	claim, err := s.store.Orders.Claim(ctx, key)
	require.NoError(s.t, err)
	require.Equal(s.t, id, claim.Account.ID)
	switch state {
	case provision.ActionRequired:
		require.NoError(s.t, s.store.Orders.RequireAction(ctx, key, provision.Failure{
			Code: provision.CodeAliasTaken, Step: provision.StepAlias, Field: "aws_account_alias", Value: "berg-logistics",
			Reason: "another AWS account has this alias",
		}))
	case provision.Compensating:
		require.NoError(s.t, s.store.Orders.BeginUndo(ctx, key, provision.Failure{Code: provision.CodeOrderCancelled, Reason: "stopped"}))
	case provision.Completed:
		s.complete(key, id)
	}
}

// complete hands the account over to the customer.
func (s *service) complete(key provision.OrderKey, account string) {
	s.t.Helper()
	ctx := s.t.Context()
	_, err := s.store.Passwords.Keep(ctx, key, account, []byte("sealed"))
	require.NoError(s.t, err)
	require.NoError(s.t, pgtest.Err(s.store.Steps.Begin(ctx, key, account, provision.StepAllocate, 1)))
	require.NoError(s.t, s.store.Orders.Allocate(ctx, key, account, provision.Result{
		AccountID: account, AccountModel: provision.ModelSPAM, AccountAlias: "berg-logistics",
		SignInURL: provision.SignInURL("berg-logistics"), SignInURLByID: provision.SignInURL(account), IAMUserName: "anna.berg",
		Report:             provision.Report{Name: "qm-usage", Kind: provision.DataExport, Bucket: "qm-cur", Prefix: "cur", Region: "us-east-1"},
		UsageAvailableFrom: time.Now(), CompletedAt: time.Now(), ManualSteps: []string{"Register the account.", "Set the currency."},
	}))
	require.NoError(s.t, s.store.Steps.End(ctx, key, account, provision.StepAllocate, provision.AttemptEnd{State: provision.StepDone}))
}

// account creates an account of acme.
func (s *service) account(id string, status provision.AccountStatus) {
	s.t.Helper()
	_, _, err := s.store.Accounts.Create(s.t.Context(), provision.Account{
		ID: id, Pool: provision.Pool{Provider: "acme", Marketplace: "nordic", Environment: provision.Production},
		Model: provision.ModelSPAM, Name: "Pool " + id, RootEmail: "aws+" + id + "@acme.example",
		RoleARN: "arn:aws:iam::" + id + ":role/quartermaster", ExternalID: provision.NewExternalID(), Status: status,
	}, "test")
	require.NoError(s.t, err)
}
