package activities

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/awssim"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
)

const (
	accountID    = "111122223333"
	otherID      = "444455556666"
	externalID   = "ext-111122223333"
	principalARN = "arn:aws:iam::999988887777:role/provisioner"
	readOnly     = "arn:aws:iam::aws:policy/ReadOnlyAccess"
	nonce        = "5c6a4f0e-6a8e-4a55-9a0c-2f8f2f6f0b11"
)

var testPool = provision.Pool{Provider: "acme", Marketplace: "main", Environment: provision.Production}

// fixture is a simulated AWS with an account of the pool and an account of someone else, and the activities that use it through the
// real SDK.
type fixture struct {
	t      testing.TB
	sim    *awssim.Sim
	proxy  *proxy // between the SDK and the simulator
	cloud  awscloud.Options
	acts   *Activities
	store  *store
	w      Assignment
	start  string         // the account before the order, as JSON
	before awssim.Account // the same
	other  string         // the other account, as JSON

	alive context.Context //nolint:containedctx // the context of the worker process, which ends when the process is killed
	kill  context.CancelFunc

	workers int // how many processes were started

	heartbeats       *Heartbeats
	heartbeatTimeout time.Duration // of every activity; 0 when it has none
	takes            time.Duration // the timeout of an attempt; 0 for that of the test environment
	undoFor          time.Duration // how long an undo retries what AWS refuses
	outages          *Outages
	log              slog.Handler

	observing sync.Mutex
	observers []func(operation, fault string)
}

// initialState is what setup creates.
type initialState struct {
	sim     awssim.Options
	cloud   awscloud.Options // without credentials and endpoint
	account awssim.Account
	other   awssim.Account // of someone else
	timings Timings
	w       Assignment
	db      *sqlx.DB // of earlier fixtures of the same test, which are over; nil: one of its own
}

func TestMain(m *testing.M) { pgtest.Main(m) }

// in makes a fixture use the database of the test's earlier fixtures, because clearing it costs less than another one.
func in(db *sqlx.DB) func(*initialState) { return func(from *initialState) { from.db = db } }

// waiting makes the order wait for an account of another model. No order holds the account.
func waiting(from *initialState) { from.w.Request.AccountModel = provision.ModelECAM }

// setup creates the usual initial state with the given changes.
func setup(tb testing.TB, changes ...func(*initialState)) *fixture {
	tb.Helper()
	from := &initialState{
		sim:   awssim.Options{Seed: 1},
		cloud: awscloud.Options{RetryDelay: time.Millisecond, CallTimeout: 5 * time.Second},
		account: awssim.Account{
			ID: accountID, Email: "root@example.com", Alias: "old-alias",
			Role: awssim.Role{Name: "quartermaster", ExternalID: externalID, TrustedPrincipal: principalARN},
			Contact: &awssim.Contact{FullName: "Pool Owner", AddressLine1: "1 Main St", AddressLine2: "Floor 2", City: "Seattle",
				StateOrRegion: "WA",
				PostalCode:    "98101", CountryCode: "US", PhoneNumber: "+1 206 555 0100", CompanyName: "Distributor Inc"},
			PasswordPolicy: &awssim.PasswordPolicy{MinimumPasswordLength: 8, AllowUsersToChangePassword: true},
			AlternateContacts: map[string]awssim.AlternateContact{
				"BILLING": {Name: "Old Billing", Title: "Clerk", EmailAddress: "old-billing@example.com", PhoneNumber: "+1 206 555 0101"},
			},
		},
		other: awssim.Account{
			ID: otherID, Email: "other@example.com", Alias: "taken-alias",
			Role: awssim.Role{Name: "quartermaster", ExternalID: externalID, TrustedPrincipal: principalARN},
		},
		timings: Timings{VisibleFor: 300 * time.Millisecond, AbsentFor: 5 * time.Millisecond, PollEvery: time.Millisecond,
			DeniedFor: time.Nanosecond, RefusedFor: time.Minute},
		w: Assignment{
			Order: provision.OrderKey{Provider: "acme", ID: "order-1"},
			Nonce: nonce,
			Request: provision.Request{
				Marketplace: "main", Environment: provision.Production, OrderMode: provision.OrderModeNewAccount,
				IAMUserName: "alice", ContactName: "Alice Customer", AccountAlias: "alice-corp",
				AlternateContact: &provision.AlternateContact{Name: "Bob Customer", Email: "bob@customer.example", Phone: "+49 30 1234", Title: "CFO"},
			},
			Settings: provision.PoolSettings{
				AlternateContactTypes: []string{"BILLING", "OPERATIONS", "SECURITY"}, ReportKind: provision.DataExport,
				ReportRegion: "eu-central-1", ReportPrefix: "cur", UserPolicyARNs: []string{readOnly},
			},
			Account: provision.Account{ID: accountID, Pool: testPool, Model: provision.ModelSPAM, Status: provision.AccountReady, Name: "account",
				RootEmail: "root@example.com", RoleARN: "arn:aws:iam::" + accountID + ":role/quartermaster", ExternalID: externalID},
		},
	}
	for _, change := range changes {
		change(from)
	}
	w := &fixture{t: tb, undoFor: time.Minute, heartbeats: &Heartbeats{}, outages: NewOutages(), log: slog.DiscardHandler}
	from.sim.Logger = slog.New(&requestObserver{w: w})
	sim := awssim.New(from.sim)
	require.NoError(tb, sim.Load(awssim.Seed{
		Callers:  []awssim.Caller{{AccessKeyID: "AKIAPROVISIONER00000", SecretAccessKey: "not-a-secret", ARN: principalARN}},
		Accounts: []awssim.Account{from.account, from.other},
	}))
	proxy := &proxy{sim: sim}
	server := httptest.NewServer(proxy)
	tb.Cleanup(server.Close)
	from.cloud.Config = aws.Config{Region: awscloud.HomeRegion,
		Credentials: credentials.NewStaticCredentialsProvider("AKIAPROVISIONER00000", "not-a-secret", "")}
	from.cloud.Endpoint = server.URL
	key := make([]byte, secrets.KeySize)
	_, err := rand.Read(key)
	require.NoError(tb, err)
	ring, err := secrets.NewRing(secrets.Key{ID: "k1", Secret: key})
	require.NoError(tb, err)
	w.sim, w.proxy, w.cloud, w.w = sim, proxy, from.cloud, from.w
	w.start, w.other = string(sim.Snapshot(accountID)), string(sim.Snapshot(otherID))
	w.before = w.account()
	w.openStore(from.db)
	w.acts = &Activities{Database: w.store.database(), Sealer: ring, Timings: from.timings}
	w.startWorker()
	return w
}

// startWorker starts a process that knows only what is in the database and in AWS.
func (w *fixture) startWorker() {
	w.t.Helper()
	cloud, err := awscloud.New(w.cloud)
	require.NoError(w.t, err)
	acts := *w.acts
	acts.Cloud, w.acts = cloud, &acts
	w.workers++
	w.alive, w.kill = context.WithCancel(w.t.Context())
	w.store.calledBy(w.alive)
	w.t.Cleanup(w.kill)
}

// work names the work of the order in the account.
func (w *fixture) work() Work { return Work{Order: w.w.Order, AccountID: w.w.Account.ID} }

func legacyReport(from *initialState) { from.w.Settings.ReportKind = provision.LegacyCUR }

// account returns the current state of the account.
func (w *fixture) account() awssim.Account {
	w.t.Helper()
	a, ok := w.sim.Account(accountID)
	require.True(w.t, ok)
	return a
}

func (w *fixture) edit(f func(*awssim.Account)) {
	w.t.Helper()
	require.NoError(w.t, w.sim.Edit(accountID, f))
}

// updateOther changes the account of someone else, which must not change afterwards.
func (w *fixture) updateOther(f func(*awssim.Account)) {
	w.t.Helper()
	require.NoError(w.t, w.sim.Edit(otherID, f))
	w.other = string(w.sim.Snapshot(otherID))
}

// effects counts the calls of the operation that changed something in the account.
func (w *fixture) effects(operation string) int {
	calls := map[string]bool{}
	for _, e := range w.sim.Effects() {
		if e.AccountID == accountID && e.Operation == operation {
			calls[e.InvocationID] = true
		}
	}
	return len(calls)
}

// maxAttempts is more than any activity may need after one fault.
const maxAttempts = 8

// run executes an activity as Temporal does: it repeats an attempt whose error is not final.
func run[In, Out any](w *fixture, activity func(context.Context, In) (Out, error), in In) (out Out, err error) {
	w.t.Helper()
	for attempt := int32(1); attempt <= maxAttempts; attempt++ {
		out, err = once(w, attempt, activity, in)
		if w.alive.Err() != nil {
			continue // the process was killed, so its answer is lost
		}
		if err == nil {
			return out, nil
		}
		var app *temporal.ApplicationError
		require.ErrorAs(w.t, err, &app)
		if app.NonRetryable() {
			return out, err
		}
	}
	return out, err
}

// once executes one attempt in Temporal's environment for activities.
func once[In, Out any](w *fixture, attempt int32, fn func(context.Context, In) (Out, error), in In) (out Out, err error) {
	w.t.Helper()
	if w.alive.Err() != nil {
		w.startWorker()
	}
	env := w.environment(attempt)
	env.RegisterActivity(w.acts)
	var value converter.EncodedValue
	if value, err = env.ExecuteActivity(fn, in); err == nil {
		err = value.Get(&out)
	}
	return out, err
}

// environment runs activities as a worker does.
func (w *fixture) environment(attempt int32) *testsuite.TestActivityEnvironment {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(w.log)))
	env := suite.NewTestActivityEnvironment()
	env.SetTestTimeout(time.Minute)
	env.SetWorkerOptions(worker.Options{BackgroundActivityContext: w.alive, Interceptors: []interceptor.WorkerInterceptor{
		&attemptInfo{attempt: attempt, heartbeatTimeout: w.heartbeatTimeout, takes: w.takes}, w.heartbeats, w.outages}})
	return env
}

// inAttempt runs work as an activity.
func inAttempt(w *fixture, work func(context.Context) error) error {
	w.t.Helper()
	env := w.environment(1)
	env.RegisterActivityWithOptions(work, activity.RegisterOptions{Name: "work"})
	_, err := env.ExecuteActivity("work")
	return err
}

// attemptInfo sets the number, heartbeat timeout and deadline of an attempt, which the test environment cannot.
type attemptInfo struct {
	interceptor.WorkerInterceptorBase
	attempt          int32
	heartbeatTimeout time.Duration
	takes            time.Duration
}

func (a *attemptInfo) InterceptActivity(_ context.Context,
	next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &attemptInbound{interceptor.ActivityInboundInterceptorBase{Next: next}, a}
}

type attemptInbound struct {
	interceptor.ActivityInboundInterceptorBase
	info *attemptInfo
}

func (a *attemptInbound) Init(next interceptor.ActivityOutboundInterceptor) error {
	return a.Next.Init(&attemptOutbound{interceptor.ActivityOutboundInterceptorBase{Next: next}, a.info})
}

type attemptOutbound struct {
	interceptor.ActivityOutboundInterceptorBase
	info *attemptInfo
}

func (a *attemptOutbound) GetInfo(ctx context.Context) activity.Info {
	info := a.Next.GetInfo(ctx)
	info.Attempt, info.HeartbeatTimeout = a.info.attempt, a.info.heartbeatTimeout
	if a.info.takes > 0 {
		info.Deadline = time.Now().Add(a.info.takes)
	}
	return info
}

// requireRestored requires that the account is exactly as it was before the order.
func (w *fixture) requireRestored() {
	w.t.Helper()
	require.Equal(w.t, w.start, string(w.sim.Snapshot(accountID)))
	w.requireOthersUntouched()
}

func (w *fixture) requireOthersUntouched() {
	w.t.Helper()
	require.Equal(w.t, w.other, string(w.sim.Snapshot(otherID)), "the account of someone else")
}

// requireFailure requires a failure with the code, final or not by its kind, without data of the customer.
func (w *fixture) requireFailure(err error, code provision.Code) provision.Failure {
	w.t.Helper()
	kind := code.Kind()
	return w.requireAnswer(err, code, kind != provision.KindTransient && kind != provision.KindInternal)
}

// requireAnswer requires a failure with the code, final or not, without data of the customer.
func (w *fixture) requireAnswer(err error, code provision.Code, final bool) provision.Failure {
	w.t.Helper()
	var app *temporal.ApplicationError
	require.ErrorAs(w.t, err, &app)
	var failure provision.Failure
	require.NoError(w.t, app.Details(&failure))
	require.Equal(w.t, code, failure.Code, failure.Reason)
	require.Equal(w.t, string(code), app.Type())
	require.NotEmpty(w.t, failure.Reason)
	require.NotEmpty(w.t, failure.Step)
	require.Equal(w.t, final, app.NonRetryable())
	for _, secret := range w.personal() {
		require.NotContains(w.t, failure.Reason, secret)
		require.NotContains(w.t, err.Error(), secret)
	}
	return failure
}

// personal is the data that no message may contain: that of the contacts and of the order.
func (w *fixture) personal() (values []string) {
	c := w.w.Request.AlternateContact
	values = append(values, w.w.Request.ContactName, c.Name, c.Email, c.Phone, "Pool Owner", "1 Main St", "555 0100")
	return values
}

// shape is the account's state without what differs between two runs: ids, dates and the password of what is ours.
func (w *fixture) shape() string {
	w.t.Helper()
	a := w.account()
	if u, ok := a.Users[w.w.Request.IAMUserName]; ok {
		u.ID, u.Created = "", time.Time{}
		if u.LoginProfile != nil {
			u.LoginProfile.PasswordSHA256, u.LoginProfile.Created = "", time.Time{}
		}
		a.Users[w.w.Request.IAMUserName] = u
	}
	if e, ok := a.Exports[w.w.reportName()]; ok {
		e.ARN, e.Created = "", time.Time{}
		a.Exports[w.w.reportName()] = e
	}
	if b, ok := a.Buckets[w.w.bucketName()]; ok {
		b.Created = time.Time{}
		a.Buckets[w.w.bucketName()] = b
	}
	out, err := json.MarshalIndent(a, "", " ")
	require.NoError(w.t, err)
	return string(out)
}

// requestObserver is a log handler of the simulator, which logs each request before it sends the answer.
type requestObserver struct{ w *fixture }

func (*requestObserver) Enabled(context.Context, slog.Level) bool { return true }

func (s *requestObserver) WithAttrs([]slog.Attr) slog.Handler { return s }
func (s *requestObserver) WithGroup(string) slog.Handler      { return s }

func (s *requestObserver) Handle(_ context.Context, line slog.Record) error {
	s.w.observing.Lock()
	defer s.w.observing.Unlock()
	if len(s.w.observers) == 0 {
		return nil
	}
	var operation, fault string
	line.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "operation":
			operation = a.Value.String()
		case "fault":
			fault = a.Value.String()
		}
		return true
	})
	for _, tell := range s.w.observers {
		tell(operation, fault)
	}
	return nil
}

// onRequest calls tell for each request before it is answered.
func (w *fixture) onRequest(tell func(operation, fault string)) {
	w.observing.Lock()
	defer w.observing.Unlock()
	w.observers = append(w.observers, tell)
}

// proxy is between the SDK and the simulator, and alters AWS's answers. A test can disable a guard this way, without a branch in the
// product: the guard's read gets the answer that it accepts, or a call does not reach AWS.
type proxy struct {
	sim *awssim.Sim
	now atomic.Pointer[alterations]
}

// alterations are the altered answers by operation.
type alterations map[string]alteration

// alteration returns the answer to a call. ask sends the call to the simulator.
type alteration func(sim *awssim.Sim, ask func() *httptest.ResponseRecorder) *httptest.ResponseRecorder

// alter replaces the alterations; nil removes them.
func (l *proxy) alter(answers alterations) { l.now.Store(&answers) }

func (l *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := l.now.Load()
	if now == nil || len(*now) == 0 {
		l.sim.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	alter, ok := (*now)[operationOf(r, body)]
	if !ok {
		l.sim.ServeHTTP(w, r)
		return
	}
	answer := alter(l.sim, func() *httptest.ResponseRecorder {
		recorder := httptest.NewRecorder()
		l.sim.ServeHTTP(recorder, r)
		return recorder
	})
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

var actionOf = regexp.MustCompile(`(?:^|&)Action=(\w+)`)

// operationOf returns the operation of a request; of S3 only the operations that tests alter.
func operationOf(r *http.Request, body []byte) string {
	if action := actionOf.FindSubmatch(body); action != nil {
		return string(action[1])
	}
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		return target[strings.LastIndexByte(target, '.')+1:]
	}
	path := strings.TrimPrefix(r.URL.Path, "/")
	_, key, _ := strings.Cut(path, "/")
	switch {
	case r.Method == http.MethodPost && path != "":
		return strings.ToUpper(path[:1]) + path[1:]
	case r.Method == http.MethodGet && r.URL.Query().Has("tagging"):
		return "GetBucketTagging"
	case r.Method == http.MethodGet && r.URL.Query().Has("versions"):
		return "ListObjectVersions"
	case r.Method == http.MethodDelete && key != "":
		return "DeleteObject"
	}
	return ""
}

// swallow answers with success and does not send the call.
func swallow(*awssim.Sim, func() *httptest.ResponseRecorder) *httptest.ResponseRecorder {
	return httptest.NewRecorder()
}

// answer always gives the same answer.
func answer(body string) alteration {
	return func(*awssim.Sim, func() *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		recorder := httptest.NewRecorder()
		_, _ = recorder.WriteString(body)
		return recorder
	}
}

// rewrite changes the successful answers of AWS.
func rewrite(change func(body string) string) alteration {
	return func(_ *awssim.Sim, ask func() *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		recorder := ask()
		if recorder.Code != http.StatusOK {
			return recorder
		}
		changed := httptest.NewRecorder()
		_, _ = changed.WriteString(change(recorder.Body.String()))
		return changed
	}
}

// rewriteJSON is rewrite for a member of a JSON answer.
func rewriteJSON(member string, change func(fields map[string]any)) alteration {
	return rewrite(func(body string) string {
		var document map[string]map[string]any
		if err := json.Unmarshal([]byte(body), &document); err != nil {
			panic(fmt.Sprintf("the simulator answers %s: %v", body, err))
		}
		change(document[member])
		changed, err := json.Marshal(document)
		if err != nil {
			panic(err)
		}
		return string(changed)
	})
}
