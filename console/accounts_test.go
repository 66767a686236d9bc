package console

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestAccountsAreFiltered(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleOperator)
	require.Contains(t, b.page("/console/acme/accounts").words(".empty"), "There is no account yet.")
	for i := range 52 {
		w.Seed.Account(t, fmt.Sprintf("11112222%04d", i+1), provision.AccountReady)
	}
	w.Seed.Account(t, "333344440001", provision.AccountInvalid)
	w.Verified(t, "333344440001", provision.CheckRole, &provision.Failure{Code: provision.CodeAccountCannotBeEntered,
		Reason: "AWS answered AccessDenied"})
	w.Seed.Account(t, "333344440002", provision.AccountProvisioningFailed)
	w.Seed.Order(t, "MP-1", provision.Completed)

	all := b.page("/console/acme/accounts")
	require.Equal(t, 50, all.Find("tbody tr").Length())
	require.Equal(t, "All 55 Ready 52 To verify 2 Finding 1 Provisioning in progress 0 Provisioning failed 0 Invalid 2 Allocated 1",
		all.words(".tabs"))
	next, _ := all.Find(`a[rel="next"]`).Attr("href")
	require.Equal(t, 5, b.page(next).Find("tbody tr").Length())

	finding := b.page("/console/acme/accounts?has_finding=true")
	require.Contains(t, finding.words("tbody"), "3333 4444 0001 To verify AccountCannotBeEntered: AWS answered AccessDenied")
	require.Equal(t, "Finding 1", finding.words(`.tabs [aria-current]`))

	line := b.page("/console/acme/accounts?pool=nordic%2Fproduction&status=ready")
	require.Contains(t, line.words("tbody tr:first-child"), "place 1")
	next, _ = line.Find(`a[rel="next"]`).Attr("href")
	require.Contains(t, b.page(next).words("tbody tr:first-child"), "place 51")
	require.Contains(t, line.words(".more"), "1 to 50 shown")

	none := b.page("/console/acme/accounts?search=nothing")
	require.Contains(t, none.words(".empty"), "No account matches. Clear filter")
	one := b.get("/console/acme/accounts?search=3333444400")
	require.Equal(t, http.StatusOK, one.status)
	require.Equal(t, "/console/acme/accounts/333344440001", b.get("/console/acme/accounts?search=333344440001").location)
	require.Equal(t, http.StatusBadRequest, b.get("/console/acme/accounts?status=nonsense").status)

	file := b.get("/console/acme/accounts/export?pool=nordic%2Fproduction&waiting_for_verification=true")
	require.Equal(t, "text/csv", before(file.header.Get("Content-Type"), ";"))
	require.Contains(t, file.header.Get("Content-Disposition"), "attachment")
	require.Equal(t, 3, strings.Count(file.text, "\n"), "a header and two accounts")
	require.Zero(t, w.as(t, provision.RoleViewer).page("/console/acme/accounts").Find("input[type=checkbox], .bulk").Length())
}

func TestAnAccountSaysWhetherItMayBeUsed(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleOperator)
	w.Seed.Account(t, "111122220001", provision.AccountReady)
	w.Seed.Account(t, "111122220002", provision.AccountReady)
	w.Seed.Account(t, "333344440001", provision.AccountInvalid)
	w.Verified(t, "333344440001", provision.CheckExternalID, &provision.Failure{Code: provision.CodeExternalIDNotDemanded,
		Reason: "add a condition"})

	ready := b.page("/console/acme/accounts/111122220002")
	require.Contains(t, ready.words(".verdict"), "Yes: it is number 2 in line of the Ready SPAM accounts of its pool.")
	require.Contains(t, ready.words("main"), "The account has not been verified yet.")
	require.Contains(t, ready.words("main"), "No order has changed anything in this account.")
	account, err := w.DB.Accounts.Get(t.Context(), "acme", "111122220002")
	require.NoError(t, err)
	require.Equal(t, account.ExternalID, ready.words("#external-id"))
	require.Contains(t, ready.words("#permissions-policy"), "iam:CreateUser")

	waits := b.page("/console/acme/accounts/333344440001")
	require.Contains(t, waits.Find("title").Text(), "333344440001, To verify")
	require.Contains(t, waits.words(".verdict"), "Not yet: it becomes Ready as soon as verification passes.")
	require.Contains(t, waits.words(".checks"),
		"Failed The role cannot be assumed without the external id ExternalIDNotDemanded: add a condition "+
			"Not reached AWS has not suspended or closed the account")
	require.Equal(t, http.StatusNotFound, b.get("/console/acme/accounts/999900001111").status)

	w.Seed.Order(t, "MP-1", provision.Completed)
	used := b.page("/console/acme/accounts/111122220001")
	require.Contains(t, used.words(".verdict"), "No: it belongs to the customer of an order. Order MP-1")
	require.Zero(t, used.Find(".act-row").Length(), "nothing can be done to it")
}

func TestVerbsOfAnAccount(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Seed.Account(t, "111122220001", provision.AccountReady)
	const account = "/console/acme/accounts/111122220001"
	b := w.as(t, provision.RoleOperator)
	verbs := func() string { return b.page(account).words(".act-row") }

	require.Equal(t, "Verify now Edit Make Invalid… Delete…", verbs())
	require.Contains(t, b.follow(account+"/verify", "version", "").said(), "Verification has started.")

	review := b.page(account + "/invalidate")
	require.Contains(t, review.words("main"), "Orders no longer take the account")
	refused := b.post(account+"/invalidate", review.fields(account+"/invalidate", "reason", " ")...)
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.Contains(t, refused.words(".summary"), "Reason: say why")

	// Someone else changed the account while the review was open.
	w.SQL.MustExec(`UPDATE accounts SET name = 'Other' WHERE id = '111122220001'`)
	stale := b.post(account+"/invalidate", review.fields(account+"/invalidate", "reason", "an abuse report")...)
	require.Equal(t, http.StatusPreconditionFailed, stale.status)
	require.Contains(t, stale.words("main"), "Other", "the page shows the account as it is now")
	done := b.follow(account+"/invalidate", stale.fields(account+"/invalidate")...)
	require.Contains(t, done.said(), "The account is Invalid.")
	require.Contains(t, done.words(".verdict"), "No: it is kept out until someone returns it. Reason an abuse report")
	require.Contains(t, done.words(".history"), "Invalid by key")
	require.Contains(t, done.words(".history"), "“ an abuse report ”")

	require.Equal(t, "Verify now Edit Return… Delete…", verbs())
	again := b.post(account+"/invalidate", "reason", "twice")
	require.Equal(t, http.StatusConflict, again.status)
	require.Contains(t, again.words(".summary"), "is Invalid already")
	require.Equal(t, http.StatusConflict, b.post(account+"/remove-leftovers", "reason", "try").status)
	require.Contains(t, b.follow(account+"/return", "reason", "repaired").said(), "Verification has started.")
	require.Contains(t, b.page(account).words(".verdict"), "Not yet")
	require.Equal(t, "Verify now Edit Make Invalid… Delete…", verbs())

	require.Equal(t, http.StatusNotFound, b.get(account+"/explode").status)
	require.Equal(t, http.StatusNotFound, b.post(account+"/explode").status)
	viewer := w.as(t, provision.RoleViewer)
	require.Zero(t, viewer.page(account).Find(".act-row").Length())
	require.Equal(t, http.StatusForbidden, viewer.post(account+"/delete", "reason", "x").status)

	remove := b.page(account + "/delete")
	require.Contains(t, b.follow(account+"/delete", remove.fields(account+"/delete", "reason", "closed in AWS")...).said(),
		"is deleted from its pool")
	require.Equal(t, http.StatusNotFound, b.get(account).status)
}

func TestAnAccountIsAddedAndEdited(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleOperator)
	const path = "/console/acme/accounts/new"
	form := b.page(path + "?marketplace=baltic&environment=production")
	chosen, _ := form.Find("#f-pool option[selected]").Attr("value")
	require.Equal(t, "baltic/production", chosen)
	refused := b.post(path, form.fields(path, "id", "12", "root_email", "none", "role_arn", "role", "name", "", "model", "XXXX")...)
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.Equal(t, 5, refused.Find("[aria-invalid]").Length(), refused.words("form"))
	require.Equal(t, "none", refused.Find("#f-root_email").AttrOr("value", ""))

	made := b.follow(path, form.fields(path, "id", "1111 2222 0001", "name", hostile, "root_email", "aws+1@acme.example",
		"role_arn", "arn:aws:iam::111122220001:role/Quartermaster")...)
	require.Contains(t, made.said(), "The account is added.")
	require.Contains(t, made.words(".facts"), "<script>alert(1)</script>")
	require.Zero(t, made.Find("script:not([src])").Length())
	twice := b.post(path, form.fields(path, "id", "111122220001", "name", "x", "root_email", "aws+2@acme.example",
		"role_arn", "arn:aws:iam::111122220001:role/Quartermaster")...)
	require.Equal(t, http.StatusConflict, twice.status)
	require.Equal(t, "true", twice.Find("#f-id").AttrOr("aria-invalid", ""))

	const edit = "/console/acme/accounts/111122220001/edit"
	editing := b.page(edit)
	require.Equal(t, http.StatusUnprocessableEntity, b.post(edit, editing.fields(edit)...).status, "nothing is different")
	require.Contains(t, b.follow(edit, editing.fields(edit, "name", "Pool 1", "model", "ECAM")...).said(), "The account is changed.")
	stale := b.post(edit, editing.fields(edit, "name", "Pool 2")...)
	require.Equal(t, http.StatusPreconditionFailed, stale.status)
	require.Contains(t, stale.words(`section[aria-label="What differs now"]`), "Name Pool 1 Pool 2 Model ECAM SPAM")
	require.Contains(t, b.follow(edit, stale.fields(edit)...).words(".facts"), "Pool 2")
	require.Equal(t, http.StatusForbidden, w.as(t, provision.RoleViewer).get(edit).status)
}

// A form that a sign-in interrupted comes back filled, and is not sent.
func TestAVerbSurvivesTheEndOfASession(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Seed.Account(t, "111122220001", provision.AccountReady)
	const path = "/console/acme/accounts/111122220001/invalidate"
	key := w.Key(t, "acme", provision.RoleOperator)
	b := w.visitor(t)
	asked := b.post(path, "reason", "an abuse report")
	require.Equal(t, http.StatusUnauthorized, asked.status)
	again := b.post("/console/sign-in", append(asked.fields("/console/sign-in", "key", key), "x", "")...)
	require.Equal(t, http.StatusOK, again.status)
	require.Equal(t, "an abuse report", again.Find("#f-reason").AttrOr("value", ""))
	account, err := w.DB.Accounts.Get(t.Context(), "acme", "111122220001")
	require.NoError(t, err)
	require.Equal(t, provision.AccountReady, account.Status)
	require.Equal(t, http.StatusSeeOther, b.post(path, again.fields(path)...).status)
}
