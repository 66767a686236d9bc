package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

func TestCreatingAnAccount(t *testing.T) {
	t.Parallel()
	w := setup(t)
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
	require.Equal(t, "key "+w.keyID(), w.historyOf(t, "444455556666")[0].Actor)

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
	require.Len(t, w.stock(t, "acme"), 1)
	require.Empty(t, w.stock(t, "globex"))
}

// accountsThatWake are accounts whose changes give an account to the waiting order.
type accountsThatWake struct {
	Accounts
	waiting provision.OrderKey
}

func (a accountsThatWake) Create(
	ctx context.Context, account provision.Account, actor string,
) (provision.Account, []provision.OrderKey, error) {
	added, _, err := a.Accounts.Create(ctx, account, actor)
	return added, []provision.OrderKey{a.waiting}, err
}

func (a accountsThatWake) Return(
	ctx context.Context, actor, provider, id string, version int64, reason string,
) (provision.Account, []provision.OrderKey, error) {
	account, _, err := a.Accounts.Return(ctx, actor, provider, id, version, reason)
	return account, []provision.OrderKey{a.waiting}, err
}

// setupThatWakes returns an API over accounts whose changes give an account to the order acme/waits.
func setupThatWakes(t *testing.T) *testAPI {
	t.Helper()
	w := setup(t)
	cfg := w.service.Config
	cfg.Accounts = accountsThatWake{cfg.Accounts, provision.OrderKey{Provider: "acme", ID: "waits"}}
	w.serve(t, cfg)
	return w
}

func TestAnOrderThatGetsAnAccountIsWoken(t *testing.T) {
	t.Parallel()
	w := setupThatWakes(t)
	waits := provision.OrderKey{Provider: "acme", ID: "waits"}
	read[openapi.Account](t, w.post("/v1/accounts", accountForm("444455556666")), http.StatusCreated)
	require.Equal(t, []provision.OrderKey{waits}, w.workflows.awakened)
	read[openapi.Account](t, w.post(stocked+"/return", map[string]any{"reason": "closed"}), http.StatusAccepted)
	require.Equal(t, []provision.OrderKey{waits, waits}, w.workflows.awakened)
}

func TestAFailedHintDoesNotFailTheRequest(t *testing.T) {
	t.Parallel()
	w := setupThatWakes(t)
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
			_, err := w.store.Accounts.Get(t.Context(), "acme", c.id)
			require.ErrorIs(t, err, provision.ErrNotFound)
		})
	}
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
	want := []string{"444455556660", "444455556661", "444455556662", "444455556663", "444455556664"}
	w.stockAccount(t, want[0], provision.AccountReady)
	w.stockAccount(t, want[1], provision.AccountReady)
	file := csvFile(want[2]) + strings.Replace(csvLine(want[3]), "SPAM", "ECAM", 1) // added at the same moment: the id decides
	read[openapi.AccountImport](t, w.upload(w.key, "", file), http.StatusAccepted)
	w.stockAccount(t, want[4], provision.AccountInvalid)

	require.Equal(t, want, accountIDs(t, w, "limit=2"))
	require.Equal(t, want[2:], accountIDs(t, w, "status=invalid"))
	require.Equal(t, want, accountIDs(t, w, "status=invalid&status=ready&limit=1"))
	require.Equal(t, []string{want[3]}, accountIDs(t, w, "model=ECAM"))
	require.Empty(t, accountIDs(t, w, "environment=test"))
	invalid := read[openapi.Account](t, w.get("/v1/accounts/"+want[4]), http.StatusOK)
	require.Equal(t, "Invalid", invalid.StatusLabel)
	require.Equal(t, "an abuse report", *invalid.Reason)
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
