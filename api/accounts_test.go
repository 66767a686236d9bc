package api

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

func TestCreatingAnAccount(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.store.woken = []provision.OrderKey{{Provider: "acme", ID: "waits"}}
	answer := w.post("/v1/accounts", accountForm("444455556666"))
	account := read[openapi.Account](t, answer, http.StatusCreated)
	require.Equal(t, "/qm/v1/accounts/444455556666", answer.Header().Get("Location"))
	require.Regexp(t, `^qm-[0-9a-f]{40}$`, account.ExternalID)
	require.Equal(t, provision.AccountInvalid, account.Status, "until it is verified")
	require.True(t, account.ReadyWhenVerified)
	require.Equal(t, provision.AwaitsVerification, *account.Reason)
	require.Equal(t, 1, w.workflows.sweeps)
	require.Equal(t, `"1"`, answer.Header().Get("ETag"))
	require.NotContains(t, answer.Body.String(), "acme")
	require.Equal(t, w.store.woken, w.workflows.awakened)
	require.Equal(t, "key "+w.keyID(), w.store.actor)
	require.Equal(t, "acme", w.store.accounts[0].Provider)

	other := read[openapi.Account](t, w.post("/v1/accounts", accountForm("444455556667")), http.StatusCreated)
	require.NotEqual(t, account.ExternalID, other.ExternalID)
	require.Equal(t, account, read[openapi.Account](t, w.get("/v1/accounts/444455556666"), http.StatusOK))
}

func TestAnAccountIsInOnePoolOnly(t *testing.T) {
	t.Parallel()
	w := setup(t)
	read[openapi.Account](t, w.post("/v1/accounts", accountForm("444455556666")), http.StatusCreated)
	mine := readProblem(t, w.post("/v1/accounts", accountForm("444455556666")), http.StatusConflict, codeAccountExists)
	theirs := readProblem(t, w.send(w.otherKey, http.MethodPost, "/v1/accounts", asText(accountForm("444455556666"))),
		http.StatusConflict, codeAccountExists)
	require.Equal(t, mine.Detail, theirs.Detail, "whose it is stays unsaid")
	require.Len(t, w.store.accounts, 1)
}

func TestAFailedHintDoesNotFailTheRequest(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.store.woken = []provision.OrderKey{{Provider: "acme", ID: "waits"}}
	w.workflows.fail = errors.New("no Temporal")
	read[openapi.Account](t, w.post("/v1/accounts", accountForm("444455556666")), http.StatusCreated)
	require.Contains(t, w.log.String(), "could not wake orders")
	require.Contains(t, w.log.String(), "could not start the verification")
}

func TestAnInvalidAccountIsRefusedWithEveryField(t *testing.T) {
	t.Parallel()
	w := setup(t)
	p := readProblem(t, w.post("/v1/accounts", map[string]any{
		"id": "1234", "marketplace": "nordic", "environment": "production", "model": "GCP", "name": " ", "root_email": "Bob <bob@x.example>",
		"role_arn": "arn:aws-cn:iam::444455556666:role/R", "external_id": "mine",
	}), http.StatusUnprocessableEntity, codeInvalid)
	got := fieldsOf(p)
	require.Len(t, got, 6, got)
	for field, message := range map[string]string{
		"id": "exactly 12 digits", "model": "use SPAM or ECAM", "name": "needs 1 to 100 characters", "root_email": "",
		"role_arn":    `partition "aws-cn"`,
		"external_id": "unknown field",
	} {
		require.Contains(t, got[field], message, field)
	}
}

func TestAccountsThatNeverEnterAPool(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for name, c := range map[string]struct {
		id     string
		change map[string]any
		fields map[string]string
	}{
		"protected": {"999999999999", nil, map[string]string{"id": "is protected"}},
		"with another's role": {"444455556666", map[string]any{"role_arn": "arn:aws:iam::111122223333:role/R"},
			map[string]string{"role_arn": "the role is in account 111122223333"}},
		"of no pool": {"444455556666", map[string]any{"marketplace": "southern"},
			map[string]string{"marketplace": "no pool", "environment": "no pool"}},
		"with a name for a human": {"444455556666", map[string]any{"root_email": "Bob <bob@x.example>"},
			map[string]string{"root_email": "6 to 64 ASCII characters"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := fieldsOf(readProblem(t, w.post("/v1/accounts", accountForm(c.id, c.change)), http.StatusUnprocessableEntity, codeInvalid))
			require.Len(t, got, len(c.fields), got)
			for field, message := range c.fields {
				require.Contains(t, got[field], message)
			}
		})
	}
	require.Empty(t, w.store.accounts)
}

func TestAccountsOfOtherProvidersAreNotFound(t *testing.T) {
	t.Parallel()
	w := setup(t)
	read[openapi.Account](t, w.post("/v1/accounts", accountForm("444455556666")), http.StatusCreated)
	foreign := readProblem(t, w.send(w.otherKey, http.MethodGet, "/v1/accounts/444455556666", ""), http.StatusNotFound, codeNotFound)
	require.Equal(t, "account 444455556666 not found", foreign.Detail)
	require.Equal(t, "account 777788889999 not found", readProblem(t, w.get("/v1/accounts/777788889999"), http.StatusNotFound,
		codeNotFound).Detail)
	require.Empty(t, read[openapi.AccountPage](t, w.send(w.otherKey, http.MethodGet, "/v1/accounts", ""), http.StatusOK).Items)
	readProblem(t, w.get("/v1/accounts/44445555666"), http.StatusBadRequest, codeInvalidParameter)
}

func TestPagesOfAccountsOldestFirst(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var want []string
	for i := range 5 {
		id := fmt.Sprintf("44445555666%d", i)
		read[openapi.Account](t, w.post("/v1/accounts", accountForm(id, map[string]any{"model": []string{"SPAM", "ECAM"}[i%2]})),
			http.StatusCreated)
		want = append(want, id)
	}
	for i := range 4 {
		w.store.accounts[i].Status = provision.AccountReady
	}
	w.store.accounts[4].Reason = "closed"
	w.store.accounts[3].AddedAt = w.store.accounts[2].AddedAt // a tie, broken by the id
	require.Equal(t, want, accountIDs(t, w, "limit=2"))
	require.Equal(t, []string{want[4]}, accountIDs(t, w, "status=invalid"))
	require.Equal(t, want, accountIDs(t, w, "status=invalid&status=ready&limit=1"))
	require.Equal(t, []string{want[1], want[3]}, accountIDs(t, w, "model=ECAM"))
	require.Empty(t, accountIDs(t, w, "environment=test"))
	invalid := read[openapi.Account](t, w.get("/v1/accounts/"+want[4]), http.StatusOK)
	require.Equal(t, "Invalid", invalid.StatusLabel)
	require.Equal(t, "closed", *invalid.Reason)
	require.Equal(t, now.Add(4*time.Second), invalid.AddedAt)
}

// accountIDs reads every page.
func accountIDs(t *testing.T, w *testAPI, query string) (ids []string) {
	for cursor := ""; ; {
		page := read[openapi.AccountPage](t, w.get("/v1/accounts?"+query+cursor), http.StatusOK)
		for _, a := range page.Items {
			ids = append(ids, a.ID)
		}
		if page.NextCursor == nil {
			return ids
		}
		cursor = "&cursor=" + *page.NextCursor
	}
}
