package console

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestAPartnerPlacesAnOrder(t *testing.T) {
	s := setup(t)
	s.Seed.Account(t, "111122223333", provision.AccountReady)
	b := s.open(t, desk)
	b.signIn(provision.RoleMarketplace)
	b.visit("/console/acme/orders/new")
	const red = `[...document.querySelectorAll("[aria-invalid=true]")].map((e) => e.name).join()`
	b.do(chromedp.Focus("#f-pool"), chromedp.KeyEvent("nordic / p"), chromedp.KeyEvent(kb.Tab))
	b.until(`document.getElementById("stock").textContent.includes("1 account Ready")`)

	// A field that was left turns red, and no other does.
	b.do(chromedp.SendKeys("#f-aws_account_alias", "Berg_Logistics"+kb.Tab))
	b.until(red + ` === "aws_account_alias"`)
	b.until(`document.getElementById("f-aws_account_alias-bad").textContent.includes("is not an account alias")`)
	b.keep("order-new-bad-" + desk.name)
	b.overwrite("f-aws_account_alias", "berg-logistics"+kb.Tab)
	b.until(red + ` === ""`)

	// The fields of a choice that was not made are not there.
	hidden := func(id string) string { return fmt.Sprintf(`document.getElementById(%q).offsetParent === null`, id) }
	b.until(hidden("f-customer.name") + " && " + hidden("f-use_existing_cur"))
	b.do(chromedp.Click(`input[name=customer_kind][value=new]`))
	b.until("!(" + hidden("f-customer.name") + ")")
	b.do(chromedp.SendKeys(`[id="f-customer.id"]`, "C-1"), chromedp.SendKeys(`[id="f-customer.name"]`, "Berg Logistics AB"),
		chromedp.SendKeys("#f-iam_user_name", "anna.berg"))

	b.do(chromedp.Click("button[value=review]"))
	b.until(`document.title.startsWith("Error: ") && document.activeElement.id === "summary"`)
	b.keep("order-new-refused-" + desk.name)
	b.do(chromedp.SendKeys("#f-aws_contact_name", "Anna Berg"+kb.Enter)) // Enter reviews
	b.until(`document.title.startsWith("Review")`)
	b.keep("order-review-" + desk.name)
	b.look(phoneDark)
	b.keep("order-review-" + phoneDark.name)
	b.do(chromedp.Click("button[value=buy]"))
	b.until(`/\/console\/acme\/orders\/QM-[0-9]{8}-\w{8}$/.test(location.href)`)
	found, err := s.DB.Orders.List(t.Context(), provision.Tenant{Provider: "acme"}, provision.OrderFilter{Limit: 10})
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, "Berg Logistics AB", found[0].Request.Customer.Name)
}

func TestSettingsByKeyboardOnAPhone(t *testing.T) {
	s := setup(t)
	b := s.open(t, phone)
	b.signIn(provision.RoleAdmin)
	b.visit("/console/acme/settings")
	b.overwrite("f-zone", "Asia/Tokyo"+kb.Tab+kb.ArrowLeft)
	b.until(`document.querySelector("[name=scheme][value=dark]").checked`)
	b.do(chromedp.KeyEvent(kb.Tab + kb.Tab + kb.Enter))
	b.until(`document.querySelector(".said-done")?.textContent.includes("Saved") && document.documentElement.dataset.theme === "dark"`)
	b.keep("settings-saved-" + phone.name)
	b.visit("/console/acme/history")
	b.until(`document.querySelector(".as-of").textContent.includes("Asia/Tokyo")`)
}

func TestHealthKeepsUpByItself(t *testing.T) {
	s := setup(t)
	b := s.open(t, desk)
	b.signIn(provision.RoleViewer)
	b.visit("/console/acme/health")
	b.until(`document.querySelector(".verdict").textContent.includes("Everything works")`)
	s.Temporal.Workers = 0
	b.until(`document.querySelector(".verdict").textContent.includes("It is us")`)
	b.keep("health-failing-" + desk.name)
	b.look(phoneDark)
	b.keep("health-failing-" + phoneDark.name)
}

func TestSettingsHistoryAndHealthLook(t *testing.T) {
	s := setup(t)
	s.Seed.Account(t, "111122223333", provision.AccountReady)
	for i, state := range []provision.OrderState{
		provision.Completed, provision.ActionRequired, provision.Cancelled, provision.WaitingForAccount,
	} {
		s.Seed.Order(t, fmt.Sprintf("MP-2026-%06d", 116+i), state)
	}
	b := s.open(t, desk)
	b.signIn(provision.RoleAdmin)
	for _, v := range []view{desk, deskDark, phone, phoneDark} {
		b.look(v)
		for _, page := range []struct{ name, at string }{
			{"order-new", "orders/new"}, {"settings", "settings"}, {"history", "history"}, {"health", "health"},
			{"end-sessions", "settings/end-sessions"},
		} {
			b.visit("/console/acme/" + page.at)
			b.until(`document.documentElement.scrollWidth <= innerWidth`) // nothing runs off the side
			b.keep(page.name + "-" + v.name)
		}
	}
}
