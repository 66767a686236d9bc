package console

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestAnOrderInEachState(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleOperator)
	for state, words := range map[provision.OrderState][]string{
		provision.Completed:         {"Result", "https://berg-logistics.signin.aws.amazon.com/console/", "Usage from", "All steps"},
		provision.ActionRequired:    {"The alias is taken", "AWS Account Alias", "Correct and go on", "Other ways out"},
		provision.Compensating:      {"Being undone", "Undo, the newest step first", "Compare with the journal", "End the undo"},
		provision.Failed:            {"Why it ended", "FailedByOperator", "Everything is undone"},
		provision.Cancelled:         {"Why it ended", "Everything is undone"},
		provision.WaitingForAccount: {"Waits for an account", "Place 1 in the queue", "Add accounts", "Cancel…"},
		provision.Accepted:          {"Not begun", "Cancel…"},
	} {
		id := "MP-" + string(state)
		w.Seed.Order(t, id, state)
		shown := b.page("/console/acme/orders/" + id)
		require.Equal(t, id+", "+orderStatus(state).Word+" · Quartermaster", shown.Find("title").Text())
		require.Equal(t, orderStatus(state).Word, shown.Find("#state .st").Text())
		for _, text := range append(words, "As ordered", "IAM User Name", "anna.berg") {
			require.Contains(t, shown.Find("main").Text(), text, state)
		}
		every, _ := shown.Find("#live").Attr("data-every")
		require.Equal(t, state == provision.Compensating || state == provision.Accepted, every == "2", state)
	}
	require.Equal(t, http.StatusNotFound, b.get("/console/acme/orders/none").status)
}

func TestTheStepsOfAnOrder(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Seed.Order(t, "o-1", provision.ActionRequired)
	w.Seed.Work(t, "o-1")
	shown := w.as(t, provision.RoleViewer).page("/console/acme/orders/o-1")
	var rows []string
	for _, li := range shown.Find(".steps > li").EachIter() {
		rows = append(rows, li.Find(".st").Text()+" "+strings.TrimSpace(li.Find("span").Eq(1).Text()))
	}
	require.Equal(t, []string{
		"Done Claim account", "Done Inspect account", "Done IAM user", "Done Contacts 2 attempts", "Asks Account alias", "Done Cost report",
		"Not begun Sign-in", "Not begun Allocate",
	}, rows)
	require.Contains(t, shown.Find(".steps details").Text(), "1 failed attempt")
	require.Contains(t, shown.Find(".attempts").Text(), "Attempt 1: Throttled: AWS asks to go slower")
	require.Contains(t, shown.Find(".steps").Text(), "AWS said EntityAlreadyExists on iam:CreateAccountAlias, request 3f0c7a52")
	require.NotContains(t, shown.Find(".steps").Text(), "2 failed attempts")
	require.Equal(t, 5, shown.Find(".steps svg.bar").Length())
}

func TestAQuestionIsAnswered(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Seed.Order(t, "o-1", provision.ActionRequired)
	b := w.as(t, provision.RoleOperator)
	alias := b.page("/console/acme/orders/o-1").Find("#f-aws_account_alias")
	require.Equal(t, "berg-logistics", alias.AttrOr("value", ""))

	refused := b.post("/console/acme/orders/o-1/correct", "aws_account_alias", "Berg_Logistics", "reason", "the customer chose it")
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.True(t, strings.HasPrefix(refused.Find("title").Text(), "Error: o-1"))
	require.Equal(t, "#f-aws_account_alias", refused.Find(".summary a").AttrOr("href", ""))
	require.Equal(t, "Berg_Logistics", refused.Find("#f-aws_account_alias").AttrOr("value", ""))
	require.Equal(t, "the customer chose it", refused.Find("#f-reason").AttrOr("value", ""))
	require.Equal(t, http.StatusOK, b.get("/console/acme/orders/o-1/correct").status, "the address of the form has the form")

	corrected := b.follow("/console/acme/orders/o-1/correct", "aws_account_alias", "berg-eu", "reason", "the customer chose it")
	require.Equal(t, "Corrected. The order goes on.", corrected.said())
	require.Contains(t, corrected.Find(".history").Text(), "Correction AWS Account Alias by key")
	require.Contains(t, corrected.Find(".history").Text(), "the customer chose it")

	late := b.post("/console/acme/orders/o-1/correct", "aws_account_alias", "berg-north", "reason", "another one")
	require.Equal(t, http.StatusConflict, late.status)
	require.Contains(t, late.Find("#question").Text(), "What you sent")
	require.Contains(t, late.Find("#question").Text(), "berg-north", "what was typed is not lost")
	require.Contains(t, late.Find("#state").Text(), "Provisioning", "and the page shows how the order is now")
}

// The check of a field says what is wrong with that field alone.
func TestAFieldOfAQuestionIsChecked(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Seed.Order(t, "o-1", provision.ActionRequired)
	b := w.as(t, provision.RoleOperator)
	check := func(alias string) answer {
		return b.post("/console/acme/orders/o-1/check", "aws_account_alias", alias, "reason", "")
	}
	b.headers = map[string]string{"HX-Trigger-Name": "aws_account_alias"}
	wrong := check("No")
	require.Equal(t, http.StatusOK, wrong.status)
	require.Contains(t, wrong.Find("#f-aws_account_alias-bad").Text(), `"No" is not an account alias`)
	require.Empty(t, wrong.Find("h1").Text(), "it is a part of the page")
	require.Empty(t, check("berg-eu").Find("#f-aws_account_alias-bad").Text())
}

func TestAQuestionThatNoFieldAnswers(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Seed.Order(t, "o-1", provision.ActionRequired)
	_, err := w.SQL.ExecContext(t.Context(),
		`UPDATE orders SET failure = '{"code": "QuotaReached", "reason": "the account has too many roles"}'`)
	require.NoError(t, err)
	b := w.as(t, provision.RoleOperator)
	asked := b.page("/console/acme/orders/o-1")
	require.Equal(t, "A quota of the account is used up", asked.Find("#q-h").Text())
	require.Equal(t, "/console/acme/orders/o-1/retry", asked.Find(".question form").AttrOr("action", ""))
	require.NotContains(t, asked.Find("#aside").Text(), "Retry…", "it is in the question")
	require.Contains(t, asked.Find("#aside").Text(), "Next account…")
	require.Contains(t, w.as(t, provision.RoleViewer).page("/console/acme/orders/o-1").Find(".question").Text(),
		"An operator of the provider answers.")
	require.Equal(t, "The order is being retried.", b.follow("/console/acme/orders/o-1/retry", "reason", "the quota is higher").said())
}

func TestEachVerbIsReviewed(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleOperator)
	for verb, state := range map[string]provision.OrderState{
		"retry": provision.ActionRequired, "swap": provision.ActionRequired,
		"cancel": provision.WaitingForAccount, "fail": provision.ActionRequired,
		"end-undo": provision.Compensating, "password": provision.Completed,
	} {
		id := "o-" + verb
		w.Seed.Order(t, id, state)
		path := "/console/acme/orders/" + id + "/" + verb
		review := b.page(path)
		require.Contains(t, review.Find("main").Text(), "What will happen", verb)
		form := review.Find("main form")
		require.Equal(t, path, form.AttrOr("action", ""), verb)
		account, _ := form.Find("[name=account_id]").Attr("value")

		unexplained := b.post(path, "reason", "", "account_id", account)
		require.Equal(t, http.StatusUnprocessableEntity, unexplained.status, verb)
		require.Equal(t, "#f-reason", unexplained.Find(".summary a").AttrOr("href", ""), verb)
		done := b.follow(path, "reason", "because of "+verb, "account_id", account)
		require.NotEmpty(t, done.said(), verb)
		require.Contains(t, done.Find(".history").Text(), "because of "+verb, verb)
	}
	t.Run("and refused when the order has ended", func(t *testing.T) {
		w.Seed.Order(t, "o-ended", provision.Cancelled)
		got := b.get("/console/acme/orders/o-ended/cancel")
		require.Equal(t, http.StatusConflict, got.status)
		require.Contains(t, got.Find(".summary").Text(), "Not possible now: order o-ended is in the state Cancelled.")
		require.Zero(t, got.Find("main form").Length())
		sent := b.post("/console/acme/orders/o-ended/cancel", "reason", "too late")
		require.Equal(t, http.StatusConflict, sent.status)
		require.Contains(t, sent.Find(".review").Text(), "Cancelled")
	})
}

func TestVerbsOfEachRole(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Seed.Order(t, "o-asks", provision.ActionRequired)
	w.Seed.Order(t, "o-done", provision.Completed)
	for role, want := range map[provision.Role][]string{
		provision.RoleViewer:      nil,
		provision.RoleMarketplace: {"cancel", "correct", "password"},
		provision.RoleOperator:    {"cancel", "correct", "fail", "password", "retry", "swap"},
		provision.RoleAdmin:       {"cancel", "correct", "fail", "password", "retry", "swap"},
	} {
		b := w.as(t, role)
		text, _ := b.page("/console/acme/orders/o-asks").Find("main").Html()
		done, _ := b.page("/console/acme/orders/o-done").Find("main").Html()
		for _, verb := range []string{"cancel", "correct", "fail", "password", "retry", "swap"} {
			offered := strings.Contains(text, "/orders/o-asks/"+verb+`"`) || strings.Contains(done, "/orders/o-done/"+verb+`"`)
			may := strings.Contains(strings.Join(want, " "), verb)
			require.Equal(t, may, offered, "%s %s", role, verb)
			require.Equal(t, !may, b.post("/console/acme/orders/o-none/"+verb, "reason", "x").status == http.StatusForbidden, "%s %s", role, verb)
		}
	}
}

func TestTheLinkToThePassword(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Seed.Order(t, "o-1", provision.Completed)
	b := w.as(t, provision.RoleOperator)
	fresh := b.page("/console/acme/orders/o-1")
	require.Contains(t, fresh.Find("#password-link").AttrOr("data-text", ""), "/reveal#")
	require.Zero(t, fresh.Find(`a[href*="reveal"]`).Length(), "the link is never opened from here")
	require.NotContains(t, w.as(t, provision.RoleViewer).page("/console/acme/orders/o-1").text, "reveal#")

	w.now = time.Now().Add(16 * time.Minute)
	stale := b.page("/console/acme/orders/o-1")
	require.NotContains(t, stale.text, "reveal#")
	require.Contains(t, stale.text, "Sign in again to copy the link")
	require.Equal(t, http.StatusUnauthorized, b.get("/console/acme/orders/o-1/link").status)
	require.Equal(t, http.StatusUnauthorized, b.post("/console/acme/orders/o-1/password", "reason", "lost").status)
	w.now = time.Time{}
	require.Equal(t, "/console/acme/orders/o-1#password", b.get("/console/acme/orders/o-1/link").location)

	once := b.page("/console/acme/orders/o-1/password").Find("[name=once]").AttrOr("value", "")
	require.NotEmpty(t, once)
	require.Equal(t, "The new password is set. Pass on its link.",
		b.follow("/console/acme/orders/o-1/password", "reason", "the mail was lost", "once", once).said())
	require.Equal(t, "This form was sent before, and is done.",
		b.follow("/console/acme/orders/o-1/password", "reason", "the mail was lost", "once",
			once).said(), "a second click sets no other password")
}

func TestManualStepsAreTicked(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Seed.Order(t, "o-1", provision.Completed)
	_, err := w.SQL.ExecContext(t.Context(),
		`UPDATE orders SET result = result || '{"manual_steps": ["Set the payment currency.", "Switch on PDF invoices."]}'`)
	require.NoError(t, err)
	b := w.as(t, provision.RoleOperator)
	before := b.page("/console/acme/orders/o-1").Find("#by-hand")
	require.Contains(t, before.Find("header").Text(), "0 of 2 done")
	ticked := b.follow("/console/acme/orders/o-1/manual-steps/1", "done", "true")
	require.Equal(t, "The manual step is done.", ticked.said())
	require.Contains(t, ticked.Find("#by-hand header").Text(), "1 of ")
	require.Equal(t, "true", ticked.Find("#by-hand button").First().AttrOr("aria-pressed", ""))
	require.Contains(t, ticked.Find("#by-hand li").First().Text(), "key ", "who did it")
	require.Contains(t, b.follow("/console/acme/orders/o-1/manual-steps/1", "done", "false").Find("#by-hand header").Text(), "0 of ")
	require.Zero(t, w.as(t, provision.RoleViewer).page("/console/acme/orders/o-1").Find("#by-hand button").Length())
}

func TestLeftoversHaveTheirCures(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Seed.Order(t, "o-1", provision.Compensating)
	key := provision.OrderKey{Provider: "acme", ID: "o-1"}
	order, err := w.DB.Orders.Get(t.Context(), key.Tenant(), "o-1")
	require.NoError(t, err)
	_, err = w.DB.Orders.Close(t.Context(), provision.OrderClosing{
		Order: key, State: provision.Cancelled, AccountID: order.AccountID,
		Leftovers: []string{"the bucket qm-cur: a policy denies s3:DeleteBucket"},
	})
	require.NoError(t, err)
	shown := w.as(t, provision.RoleOperator).page("/console/acme/orders/o-1")
	require.Contains(t, shown.Find("#live").Text(), "1 thing is left in the account")
	require.Contains(t, shown.Find(".plain-list").Text(), "a policy denies s3:DeleteBucket")
	for _, verb := range []string{"remove-leftovers", "return"} {
		require.Equal(t, 1, shown.Find(`a[href="/console/acme/accounts/`+order.AccountID+`/`+verb+`"]`).Length(), verb)
	}
}

// What others wrote is text, wherever it is shown.
func TestTextOfOthersIsTextOnAnOrder(t *testing.T) {
	t.Parallel()
	w := setup(t)
	hostile := `<script>alert(1)</script>"'` + strings.Repeat("\u05d0", 300)
	w.Seed.Order(t, "o-1", provision.ActionRequired)
	_, err := w.SQL.ExecContext(t.Context(),
		`UPDATE orders SET failure = jsonb_build_object('code', $1::text, 'reason', $1::text, 'value', $1::text,
		'field', 'aws_account_alias', 'aws_code', $1::text)`, hostile)
	require.NoError(t, err)
	b := w.as(t, provision.RoleOperator)
	for _, path := range []string{"/console/acme/orders/o-1", "/console/acme/orders", "/console/acme/orders/o-1/cancel"} {
		shown := b.page(path)
		require.Zero(t, shown.Find("main script").Length(), path)
		require.Contains(t, shown.Find("main bdi").Text(), "<script>alert(1)</script>", path)
	}
	long := b.post("/console/acme/orders/o-1/correct", "aws_account_alias", strings.Repeat("x", 64<<10), "reason", hostile)
	require.Equal(t, http.StatusRequestEntityTooLarge, long.status)
	require.Zero(t, long.Find("main script").Length())
	require.Equal(t, hostile, long.Find("#f-reason").AttrOr("value", ""))
}
