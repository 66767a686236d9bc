package awssim_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
)

// admin calls the admin API and returns the status and the body.
func admin(t *testing.T, w *world, method, path, body string) (int, string) {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	recorder := httptest.NewRecorder()
	w.sim.AdminHandler().ServeHTTP(recorder, request)
	return recorder.Code, recorder.Body.String()
}

func TestAdminShowsAccountsEffectsAndRequests(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.mustUser(t.Context())
	status, body := admin(t, w, http.MethodGet, "/_sim/accounts", "")
	require.Equal(t, http.StatusOK, status)
	var accounts []struct {
		ID, State, Email, Alias string
		Users                   int
	}
	require.NoError(t, json.Unmarshal([]byte(body), &accounts))
	require.Len(t, accounts, 3)
	require.Equal(t, accountID, accounts[0].ID)
	require.Equal(t, 1, accounts[0].Users)
	require.Equal(t, "taken-alias", accounts[1].Alias)
	require.Equal(t, awssim.StateSuspended, accounts[2].State)

	status, body = admin(t, w, http.MethodGet, "/_sim/accounts/"+accountID, "")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, string(w.sim.Snapshot(accountID)), body)
	status, _ = admin(t, w, http.MethodGet, "/_sim/accounts/000000000000", "")
	require.Equal(t, http.StatusNotFound, status)

	var effects []awssim.Effect
	_, body = admin(t, w, http.MethodGet, "/_sim/effects?account="+accountID, "")
	require.NoError(t, json.Unmarshal([]byte(body), &effects))
	require.Equal(t, w.sim.Effects(), effects)
	_, body = admin(t, w, http.MethodGet, "/_sim/effects?account="+otherID, "")
	require.JSONEq(t, "[]", body)
	var requests []awssim.Request
	_, body = admin(t, w, http.MethodGet, "/_sim/requests?after=1", "")
	require.NoError(t, json.Unmarshal([]byte(body), &requests))
	require.Equal(t, w.sim.Requests()[1:], requests)
	status, _ = admin(t, w, http.MethodGet, "/_sim/requests?after=soon", "")
	require.Equal(t, http.StatusBadRequest, status)
}

func TestAdminInjectsFaults(t *testing.T) {
	t.Parallel()
	w := setup(t)
	status, body := admin(t, w, http.MethodPost, "/_sim/faults",
		`{"service":"iam","operation":"CreateUser","kind":"slow","delay":"5ms","times":1}`)
	require.Equal(t, http.StatusCreated, status, body)
	require.Equal(t, 5*time.Millisecond, w.sim.Faults()[0].Fault.Delay)
	status, _ = admin(t, w, http.MethodPost, "/_sim/faults", `{"kind":"timeout","delay":1000}`)
	require.Equal(t, http.StatusCreated, status)
	require.Equal(t, time.Microsecond, w.sim.Faults()[1].Fault.Delay)
	for _, bad := range []string{`{"kind":"nonsense"}`, `{"kind":"reset","who":"me"}`, `{"kind":"slow","delay":"soon"}`, `x`} {
		status, body = admin(t, w, http.MethodPost, "/_sim/faults", bad)
		require.Equal(t, http.StatusBadRequest, status)
		require.Contains(t, body, "error")
	}
	_, body = admin(t, w, http.MethodGet, "/_sim/faults", "")
	require.Contains(t, body, `"kind": "slow"`)
	for _, want := range []int{http.StatusNoContent, http.StatusNotFound} {
		status, _ = admin(t, w, http.MethodDelete, "/_sim/faults/1", "")
		require.Equal(t, want, status)
	}
	status, _ = admin(t, w, http.MethodDelete, "/_sim/faults", "")
	require.Equal(t, http.StatusNoContent, status)
	require.Empty(t, w.sim.Faults())
}

func TestSnapshotsOfEqualStatesAreEqual(t *testing.T) {
	t.Parallel()
	// The same calls with the same seed give the same bytes, ids included.
	var snapshots []string
	for range 2 {
		w, ctx := setup(t, withReportBucket()), t.Context()
		for _, m := range mutations() {
			require.NoError(t, m.call(ctx, w))
		}
		snapshots = append(snapshots, string(w.sim.Snapshot(accountID)))
	}
	require.Equal(t, snapshots[0], snapshots[1])
	require.Contains(t, snapshots[0], `"alice"`)

	// Lists whose order means nothing do not depend on the order of the calls, and an empty list is no list.
	w, ctx := setup(t, withReportBucket()), t.Context()
	w.mustUser(ctx)
	before := string(w.sim.Snapshot(accountID))
	var seen []string
	for _, order := range [][]string{{readOnly, changePassword}, {changePassword, readOnly}} {
		for _, arn := range order {
			_, err := w.iam.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: name, PolicyArn: aws.String(arn)})
			require.NoError(t, err)
		}
		seen = append(seen, string(w.sim.Snapshot(accountID)))
		for _, arn := range order {
			_, err := w.iam.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: name, PolicyArn: aws.String(arn)})
			require.NoError(t, err)
		}
		require.Equal(t, before, string(w.sim.Snapshot(accountID)))
	}
	require.Equal(t, seen[0], seen[1])
	require.Nil(t, w.sim.Snapshot("000000000000"))
}

func TestAccountReturnsACopy(t *testing.T) {
	t.Parallel()
	w := setup(t)
	before := string(w.sim.Snapshot(accountID))
	a, ok := w.sim.Account(accountID)
	require.True(t, ok)
	a.Contact.FullName, a.Role.Name = "changed", "changed"
	require.Equal(t, before, string(w.sim.Snapshot(accountID)))
}

func TestManyCallersAtOnceCreateOneUser(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var group sync.WaitGroup
	var mu sync.Mutex
	created := 0
	for range 20 {
		group.Go(func() {
			if _, err := w.iam.CreateUser(t.Context(), createUserInput(userName)); err == nil {
				mu.Lock()
				created++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	require.Equal(t, 1, created)
	require.Len(t, w.sim.Effects(), 1)
}

func TestReadSeed(t *testing.T) {
	t.Parallel()
	file, err := json.Marshal(seed())
	require.NoError(t, err)
	read, err := awssim.ReadSeed(strings.NewReader(string(file)))
	require.NoError(t, err)
	again, err := json.Marshal(read)
	require.NoError(t, err)
	require.JSONEq(t, string(file), string(again), "a seed survives its file")

	const role = `"role":{"name":"q","external_id":"e","trusted_principal":"arn:aws:iam::999988887777:role/p"}`
	for text, want := range map[string]string{
		`{"acounts":[]}`:                         `unknown field "acounts"`,
		`{"accounts":[{"id":5}]}`:                `field "accounts.id" is a number but must be a string`,
		`{} {}`:                                  `there is text after the JSON document`,
		`{"accounts":[{"id":"1",` + role + `}]}`: `accounts[0]: id "1" must have 12 digits`,
		`{"accounts":[{"id":"111122223333"}]}`:   `role.name is missing`,
		`{"accounts":[{"id":"111122223333","state":"OPEN",` + role +
			`}]}`: `state "OPEN" must be one of PENDING_ACTIVATION, ACTIVE, SUSPENDED, CLOSED`,
		`{"accounts":[{"id":"111122223333","alternate_contacts":{"LEGAL":{}},` + role +
			`}]}`: `"LEGAL" must be BILLING, OPERATIONS or SECURITY`,
		`{"accounts":[{"id":"111122223333","users":{"a":{},"A":{}},` + role +
			`}]}`: `are the same name to AWS`,
		`{"accounts":[{"id":"111122223333","alias":"x",` + role + `},{"id":"444455556666","alias":"x",` + role +
			`}]}`: `accounts[1].alias "x" exists twice`,
		`{"accounts":[{"id":"111122223333","buckets":{"b-b":{}},` + role + `},{"id":"444455556666","buckets":{"b-b":{}},` + role +
			`}]}`: `"b-b" exists twice`,
		`{"accounts":[{"id":"111122223333",` + role + `},{"id":"111122223333",` + role +
			`}]}`: `accounts[1].id 111122223333 exists twice`,
		`{"accounts":[{"id":"111122223333","role":{"name":"q","trusted_principal":"me"}}]}`: `role.trusted_principal "me" is not the ARN`,
		`{"accounts":[{"id":"111122223333","role":{"name":"q","trusted_principal":"arn:aws:iam::999988887777:root",
		"policy":{"a":1}}}]}`: `role.policy: not a policy that the simulator can evaluate: json: unknown field "a"`,
		`{"callers":[{"access_key_id":"a","secret_access_key":"b","arn":"c"}]}`: `callers[0].arn "c" is not the ARN`,
		`{"callers":[{"arn":"arn:aws:iam::999988887777:user/u"}]}`:              `access_key_id and secret_access_key must both be given`,
		`{"accounts":[{"id":"111122223333","role":{"name":"q","max_session_seconds":60,
		"trusted_principal":"arn:aws:iam::999988887777:root"}}]}`: `role.max_session_seconds 60 must be between 3600 and 43200`,
	} {
		_, err := awssim.ReadSeed(strings.NewReader(text))
		require.ErrorContains(t, err, want)
	}
}

func TestLoadAddsAllOrNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	more := seed()
	more.Callers, more.Accounts[0].ID, more.Accounts[1].ID = nil, "123456789012", "210987654321"
	require.ErrorContains(t, w.sim.Load(more), `alias "taken-alias" belongs to account `+otherID)
	_, ok := w.sim.Account("123456789012")
	require.False(t, ok)
	more.Accounts = more.Accounts[:1]
	more.Accounts[0].Role.ExternalID = "ext-123456789012"
	require.NoError(t, w.sim.Load(more))
	w.assume("123456789012")
}

func TestMutatingOperationsAreThoseThatHaveEffects(t *testing.T) {
	t.Parallel()
	seen := map[awssim.Operation]bool{}
	for _, op := range awssim.MutatingOperations {
		require.False(t, seen[op], op)
		seen[op] = true
		for _, prefix := range []string{"Get", "List", "Head", "Describe", "Assume"} {
			require.False(t, strings.HasPrefix(op.Name, prefix), op)
		}
	}
	w, ctx := setup(t, withReportBucket()), t.Context()
	for _, m := range mutations() {
		require.NoError(t, m.call(ctx, w))
	}
	for _, e := range w.sim.Effects() {
		require.Contains(t, awssim.MutatingOperations, awssim.Operation{Service: e.Service, Name: e.Operation})
	}
}
