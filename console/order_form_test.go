package console

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

const newOrderPage = "/console/acme/orders/new"

// walkThrough returns a form that is right, in pairs, with changes to it.
func walkThrough(step string, change ...string) []string {
	values := map[string]string{
		"step": step, "order_id": "MP-1", "pool": "nordic/production", "account_model": "", "customer_kind": "none", "report": "new",
		"iam_user_name": "anna.berg", "aws_contact_name": "Anna Berg", "aws_account_alias": "berg-logistics",
	}
	for i := 0; i < len(change); i += 2 {
		values[change[i]] = change[i+1]
	}
	var fields []string
	for name, value := range values {
		fields = append(fields, name, value)
	}
	return fields
}

// value is what a field of the page has.
func (a answer) value(name string) string {
	if chosen := a.Find(`select[name="` + name + `"] option[selected]`); chosen.Length() > 0 {
		return chosen.AttrOr("value", "")
	}
	if picked := a.Find(`input[type=radio][name="` + name + `"]`); picked.Length() > 0 {
		return picked.Filter("[checked]").AttrOr("value", "")
	}
	return a.Find(`input[name="`+name+`"]`).AttrOr("value", "")
}

// orders lists the ids of acme's orders.
func (w *testConsole) orders(t *testing.T) (ids []string) {
	t.Helper()
	found, err := w.DB.Orders.List(t.Context(), provision.Tenant{Provider: "acme"}, provision.OrderFilter{Limit: 100})
	require.NoError(t, err)
	for _, order := range found {
		ids = append(ids, order.ID)
	}
	return ids
}

func TestAnOrderIsReviewedAndBoughtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Seed.Account(t, "111122223333", provision.AccountReady)
	b := w.as(t, provision.RoleOperator)

	form := b.page(newOrderPage)
	require.Regexp(t, `^QM-[0-9]{8}-[A-Z2-7]{8}$`, form.value("order_id"))
	require.Contains(t, form.Find("select[name=pool]").Text(), "nordic / production: 1 Ready")
	require.Contains(t, form.Find("select[name=pool]").Text(), "baltic / production: none Ready")
	require.Contains(t, form.Find("select[name=account_model]").Text(), "ECAM: End Customer Account Model")
	require.Zero(t, form.Find("[aria-invalid], .summary").Length(), "nothing is wrong before anything was typed")
	require.NotEqual(t, form.value("order_id"), b.page(newOrderPage).value("order_id"))

	// What a copy brings along is cut off.
	review := b.post(newOrderPage, walkThrough("review", "aws_account_alias", " berg-logistics\t")...)
	require.Equal(t, http.StatusOK, review.status, review.text)
	text := review.Find("main").Text()
	require.Contains(t, text, "https://berg-logistics.signin.aws.amazon.com/console/")
	require.Contains(t, text, "Usage data begins within 24 hours of making it")
	require.Contains(t, text, "1 account Ready")
	require.Contains(t, text, "If the account is one whose root user belongs to the customer")
	require.Empty(t, w.orders(t), "a review buys nothing")

	var sent []string
	for _, name := range []string{"order_id", "pool", "customer_kind", "report", "iam_user_name", "aws_contact_name", "aws_account_alias"} {
		sent = append(sent, name, review.value(name))
	}
	changed := b.post(newOrderPage, append(sent, "step", "change")...)
	require.Equal(t, "berg-logistics", changed.value("aws_account_alias"))
	require.Equal(t, "none", changed.value("customer_kind"))

	for range 2 { // a double click
		bought := b.post(newOrderPage, append(sent, "step", "buy")...)
		require.Equal(t, http.StatusSeeOther, bought.status, bought.text)
		require.Equal(t, "/console/acme/orders/MP-1", bought.location, "no personal data in an address")
	}
	require.Equal(t, []string{"MP-1"}, w.orders(t))
	require.NotContains(t, w.Log.String(), "Anna Berg")
	require.Equal(t, "The order MP-1 is placed.", b.get("/console/acme/settings").said())
}

func TestTheReviewSaysWhatTheCustomerGets(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Seed.Order(t, "MP-0", provision.WaitingForAccount)
	w.Seed.Order(t, "MP-00", provision.WaitingForAccount)
	b := w.as(t, provision.RoleOperator)

	ecam := b.post(newOrderPage, walkThrough("review", "account_model", "ECAM", "report", "existing", "use_existing_cur", "monthly-usage",
		"existing_cur_kind", "cur", "aws_alternate_contact.name", "Billing Desk", "aws_alternate_contact.email", "billing@berg.example",
		"aws_alternate_contact.phone", "+46 8 123 456", "aws_alternate_contact.title", "Accountant")...)
	require.Equal(t, http.StatusOK, ecam.status, ecam.text)
	text := ecam.Find("main").Text()
	require.Contains(t, text, "The root user. The finished order has instructions for it")
	require.Contains(t, text, "monthly-usage, linked as it is: earlier usage is included")
	require.Contains(t, text, "None Ready")
	require.Contains(t, text, "This order waits as number 3")
	require.Contains(t, text, "billing@berg.example")

	spam := b.post(newOrderPage, walkThrough("review", "account_model", "SPAM")...)
	require.NotContains(t, spam.Find("main").Text(), "root user")
}

func TestARefusedOrderNamesEveryFieldAndKeepsTheInput(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleOperator)
	refused := b.post(newOrderPage, "step", "review", "order_id", "MP-1", "pool", "", "customer_kind", "existing", "customer.id", "C-1",
		"report", "existing", "use_existing_cur", "with space", "iam_user_name", "anna berg", "aws_contact_name", "",
		"aws_account_alias", "Berg_Logistics", "aws_alternate_contact.email", "billing@berg.example")
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.True(t, strings.HasPrefix(refused.Find("title").Text(), "Error: "))
	for _, field := range []string{"pool", "customer.id", "use_existing_cur", "iam_user_name", "aws_contact_name", "aws_account_alias",
		"aws_alternate_contact.name", "aws_alternate_contact.phone", "aws_alternate_contact.title"} {
		require.Equal(t, 1, refused.Find(`.summary a[href="#f-`+field+`"]`).Length(), "%s\n%s", field, refused.Find(".summary").Text())
		require.Equal(t, "true", refused.Find(`[name="`+field+`"]`).AttrOr("aria-invalid", ""), field)
		require.NotEmpty(t, refused.Find(`[id="f-`+field+`-bad"]`).Text(), field)
	}
	require.Contains(t, refused.Find(".summary").Text(), "9 fields are invalid")
	require.Contains(t, refused.Find(".summary").Text(), "AWS Contact Name: needs 1 to 50 characters")
	require.Empty(t, refused.Find(`[name="aws_alternate_contact.email"]`).AttrOr("aria-invalid", ""))
	require.Equal(t, "anna berg", refused.value("iam_user_name"))
	require.Equal(t, "existing", refused.value("report"))
	require.Empty(t, w.orders(t))
}

// The script sends the form when a field is left. Only that field may turn red.
func TestAFieldIsCheckedWhenItIsLeft(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleOperator)
	check := func(field string, change ...string) answer {
		r := b.request(newOrderPage, append(walkThrough("check", change...), "aws_contact_name", "")...)
		r.Header.Set("Hx-Trigger-Name", field)
		got := b.do(r)
		require.Equal(t, http.StatusOK, got.status, got.text)
		return got
	}
	bad := check("aws_account_alias", "aws_account_alias", "Berg_Logistics", "iam_user_name", "")
	require.Contains(t, bad.Find(`[id="f-aws_account_alias-bad"]`).Text(), "is not an account alias")
	require.NotContains(t, bad.text, "user name", "other fields were not left yet")
	require.Empty(t, strings.TrimSpace(check("aws_account_alias").Find(".why-bad").Text()))
	require.Contains(t, check("pool", "pool", "baltic/production").Find("#stock").Text(), "This order waits as number 1")
	require.Contains(t, check("customer.id", "customer_kind", "existing", "customer.id", "C-1").Find(".why-bad").Text(),
		"No order of customer")
	require.Empty(t, w.orders(t))
}

func TestTheCustomerIsNewOrKnown(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleOperator)
	b.follow(newOrderPage, walkThrough("buy", "customer_kind", "new", "customer.id", "C-1", "customer.name", "Berg <b>Logistics</b> AB")...)
	form := b.page(newOrderPage)
	require.Equal(t, "Berg <b>Logistics</b> AB", form.Find(`datalist option[value="C-1"]`).Text())

	known := b.post(newOrderPage, walkThrough("review", "order_id", "MP-2", "customer_kind", "existing", "customer.id", "C-1")...)
	require.Contains(t, known.Find(".facts").Text(), "Berg <b>Logistics</b> AB")
	require.Zero(t, known.Find(".facts b").Length())
	require.Equal(t, http.StatusSeeOther,
		b.post(newOrderPage, walkThrough("buy", "order_id", "MP-2", "customer_kind", "existing", "customer.id", "C-1")...).status)
	order, err := w.DB.Orders.Get(t.Context(), provision.Tenant{Provider: "acme"}, "MP-2")
	require.NoError(t, err)
	require.Equal(t, &provision.Customer{ID: "C-1", Name: "Berg <b>Logistics</b> AB"}, order.Request.Customer)
	require.NotContains(t, w.Log.String(), "Logistics")

	for _, id := range []string{"", "C-9", strings.Repeat("c", 65), "c\u202ed"} {
		refused := b.post(newOrderPage, walkThrough("buy", "order_id", "MP-3", "customer_kind", "existing", "customer.id", id)...)
		require.Equal(t, http.StatusUnprocessableEntity, refused.status, id)
		require.Equal(t, 1, refused.Find(`.summary a[href="#f-customer.id"]`).Length(), id)
	}
}

func TestAnOrderIDThatIsTaken(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleOperator)
	const made = "QM-20261126-AAAAAAAA"
	b.follow(newOrderPage, walkThrough("buy", "order_id", made)...)
	taken := b.post(newOrderPage, walkThrough("buy", "order_id", made, "iam_user_name", "bo")...)
	require.Equal(t, http.StatusConflict, taken.status)
	require.Equal(t, "/console/acme/orders/"+made, taken.Find("main .note a").AttrOr("href", ""))
	require.NotEqual(t, made, taken.value("order_id"), "the form has a new id")
	require.Equal(t, "bo", taken.value("iam_user_name"))

	w.Seed.Order(t, "MP-9", provision.Accepted)
	own := b.post(newOrderPage, walkThrough("buy", "order_id", "MP-9", "iam_user_name", "bo")...)
	require.Equal(t, http.StatusConflict, own.status)
	require.Equal(t, "MP-9", own.value("order_id"), "an id that the person chose is kept")
}

// When the answer to a purchase is lost, the same page offers to buy again, with the same id.
func TestALostAnswerIsBoughtAgainOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleOperator)
	w.Workflows.LoseAnswers(1)
	lost := b.post(newOrderPage, walkThrough("buy")...)
	require.Equal(t, http.StatusServiceUnavailable, lost.status)
	require.Contains(t, lost.Find(".summary").Text(), "Buy again")
	require.Equal(t, "MP-1", lost.value("order_id"))
	require.Equal(t, http.StatusSeeOther, b.post(newOrderPage, walkThrough("buy")...).status)
	require.Equal(t, []string{"MP-1"}, w.orders(t))
}

func TestWhoMayPlaceAnOrder(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, role := range provision.Roles {
		b := w.as(t, role)
		form, sent := b.get(newOrderPage), b.post(newOrderPage, walkThrough("review", "order_id", "MP-"+string(role))...)
		if !role.Allows(provision.ScopeOrdersWrite) {
			require.Equal(t, http.StatusForbidden, form.status, role)
			require.Equal(t, http.StatusForbidden, sent.status, role)
			require.Contains(t, form.text, "orders:write")
			continue
		}
		require.Equal(t, http.StatusOK, form.status, role)
		require.Equal(t, http.StatusOK, sent.status, role)
		pools := form.Find("select[name=pool]").Text()
		require.Contains(t, pools, "nordic / production")
		require.Equal(t, role != provision.RoleMarketplace, strings.Contains(pools, "baltic"), "a marketplace sees its own pools")
	}
	b := w.as(t, provision.RoleMarketplace)
	refused := b.post(newOrderPage, walkThrough("buy", "pool", "baltic/production")...)
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.Equal(t, 1, refused.Find(`.summary a[href="#f-pool"]`).Length(), refused.text)
	require.Empty(t, w.orders(t))
}

func TestHostileTextInTheWalkThrough(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleOperator)
	for _, text := range []string{"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "javascript:alert(1)", "\u202eevil",
		strings.Repeat("x", 64<<10)} {
		for _, field := range []string{"order_id", "pool", "account_model", "iam_user_name", "aws_contact_name", "aws_account_alias", "step"} {
			got := b.post(newOrderPage, walkThrough("review", field, text)...)
			require.Contains(t, []int{http.StatusOK, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge}, got.status, field)
			require.Zero(t, got.Find("script:not([src]), img, [onerror], a[href^=javascript]").Length(), "%s %.40s", field, text)
		}
	}
	big := b.post(newOrderPage, walkThrough("review", "aws_contact_name", strings.Repeat("x", 2<<20))...)
	require.Equal(t, http.StatusRequestEntityTooLarge, big.status)
}

// A form whose session has ended is shown again after the sign-in, filled in, and is not sent.
func TestAnOrderFormOutlivesItsSession(t *testing.T) {
	t.Parallel()
	w := setup(t)
	key := w.Key(t, "acme", provision.RoleOperator)
	b := w.visitor(t)
	b.signIn(key)
	w.now = time.Now().Add(time.Hour)
	ended := b.post(newOrderPage, walkThrough("buy")...)
	require.Equal(t, http.StatusUnauthorized, ended.status)
	fields := []string{"key", key, "next", ended.value("next")}
	for i, kept := 0, walkThrough("buy"); i < len(kept); i += 2 {
		require.Equal(t, kept[i+1], ended.value("kept."+kept[i]))
		fields = append(fields, "kept."+kept[i], kept[i+1])
	}
	again := b.post("/console/sign-in", fields...)
	require.Equal(t, http.StatusOK, again.status, again.text)
	require.Equal(t, "MP-1", again.value("order_id"))
	require.Equal(t, "berg-logistics", again.value("aws_account_alias"))
	require.Equal(t, "none", again.value("customer_kind"))
	require.Empty(t, w.orders(t))
}

func TestTheStockOfTheFormIsSaidInWords(t *testing.T) {
	t.Parallel()
	offer := openapi.OrderForm{Pools: []openapi.OrderFormPool{
		{Marketplace: "nordic", Environment: "production", Ready: 12, ReadyByModel: map[string]int{"SPAM": 12}},
		{Marketplace: "baltic", Environment: "production", OrdersWaiting: 2},
		{Marketplace: "alpine", Environment: "test", Ready: 3, Suspended: true},
	}}
	for pool, want := range map[[2]string]string{
		{"nordic/production", ""}:     "12 accounts Ready",
		{"nordic/production", "SPAM"}: "12 SPAM accounts Ready",
		{"nordic/production", "ECAM"}: "This order waits as number 1",
		{"baltic/production", ""}:     "This order waits as number 3",
		{"alpine/test", ""}:           "Orders get no account of this pool at present",
	} {
		note := stockOf(offer, &form{Values: map[string][]string{"pool": {pool[0]}, "account_model": {pool[1]}}})
		require.Contains(t, note.Status.Word+" "+note.Text, want, pool)
	}
	require.Empty(t, stockOf(offer, &form{}).Text)
}
