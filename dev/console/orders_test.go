package console

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// A taken alias is corrected: the field is checked when it is left, and nothing that was typed is replaced by what happens at the
// same time.
func TestATakenAliasIsCorrected(t *testing.T) {
	s := setup(t)
	s.Seed.Order(t, "MP-117", provision.ActionRequired)
	s.Seed.Work(t, "MP-117")
	b := s.open(t, desk)
	b.signIn(provision.RoleOperator)
	b.visit("/console/acme/orders/MP-117")
	b.until(`document.querySelector(".as-of").textContent.includes("live")`)
	b.keep("order-asks-desk")
	b.overwrite("f-aws_account_alias", "Berg_Logistics\t")
	b.until(`document.getElementById("f-aws_account_alias-bad").textContent.includes("is not an account alias")`)
	b.overwrite("f-aws_account_alias", "berg-eu\t")
	b.until(`document.getElementById("f-aws_account_alias-bad").textContent === ""`)
	b.overwrite("f-reason", "the customer chose it")

	require.NoError(t, s.Workflows.Act(t.Context(), provision.OrderKey{Provider: "acme", ID: "MP-117"}, "retry",
		provision.Intervention{Actor: "test", Reason: "someone else was faster", ID: "r-1"}))
	b.until(`document.getElementById("state").textContent.includes("Provisioning")`)
	b.until(`document.querySelector(".history").textContent.includes("someone else was faster")`)
	b.until(`document.getElementById("changed")?.textContent.includes("Show")`)
	b.until(`document.getElementById("f-reason").value === "the customer chose it"`)
	b.do(chromedp.Click(".question button.main"))
	b.until(`document.title.startsWith("Error: MP-117")`)
	b.until(`document.getElementById("question").textContent.includes("What you sent")`)
	b.keep("order-corrected-too-late")
}

// A page that is open shows how an order is completed, with what only a script can do, and keeps what was unfolded.
func TestAnOrderIsWatched(t *testing.T) {
	s := setup(t)
	s.Seed.Order(t, "MP-117", provision.ActionRequired)
	s.Seed.Work(t, "MP-117")
	b := s.open(t, phone)
	b.signIn(provision.RoleOperator)
	b.visit("/console/acme/orders/MP-117")
	b.do(chromedp.Click(".steps details summary"))
	b.until(`document.querySelector(".steps details").open`)
	key := provision.OrderKey{Provider: "acme", ID: "MP-117"}
	order, err := s.DB.Orders.Get(t.Context(), key.Tenant(), "MP-117")
	require.NoError(t, err)
	require.NoError(t, s.DB.Orders.Resume(t.Context(), key))
	b.until(`document.title.startsWith("MP-117, Provisioning")`)
	b.until(`document.getElementById("question").textContent.trim() === ""`)
	b.until(`document.querySelector(".steps details").open`)
	s.Seed.Complete(t, key, order.AccountID)
	b.until(`document.title.startsWith("MP-117, Completed")`)
	b.until(`document.querySelector("[data-copy=result-text] button")?.textContent === "Copy as text"`)
	b.until(`document.querySelector("[data-copy=password-link] button") && !document.querySelector('a[href*="reveal"]')`)
	b.until(`document.documentElement.scrollWidth <= innerWidth`)
	b.keep("order-completed-phone")
}

// The keyboard alone finds an order, and cancels it.
func TestAnOrderByKeyboard(t *testing.T) {
	s := setup(t)
	s.Seed.Order(t, "MP-117", provision.WaitingForAccount)
	s.Seed.Order(t, "MP-118", provision.WaitingForAccount)
	b := s.open(t, desk)
	b.signIn(provision.RoleOperator)
	b.until(`document.body.classList.contains("scripted")`)
	b.do(chromedp.KeyEvent("/"))
	b.until(`document.activeElement.id === "q"`)
	b.overwrite("q", "mp-117\r")
	b.until(`document.title.startsWith("MP-117, Waiting") && document.body.classList.contains("scripted")`)
	b.tabTo("Cancel…")
	b.do(chromedp.KeyEvent("\r"))
	b.until(`document.title.startsWith("Cancel the order")`)
	b.keep("order-cancel-desk")
	b.tabTo("reason")
	b.do(chromedp.KeyEvent("The customer withdrew the purchase"), chromedp.KeyEvent("\r"))
	b.until(`document.querySelector(".said-done")?.textContent.includes("The order is being cancelled")`)
	b.until(`document.getElementById("state").textContent.includes("Cancelled")`)
}

// On a phone, some orders are given up at once, and the batch is followed to its end. The list says that it has changed, and shows it
// on request.
func TestManyOrdersOnAPhone(t *testing.T) {
	s := setup(t)
	for i := range 3 {
		s.Seed.Order(t, fmt.Sprintf("MP-%d", 117+i), provision.WaitingForAccount)
	}
	b := s.open(t, phone)
	b.signIn(provision.RoleOperator)
	b.visit("/console/acme/orders")
	b.until(`document.querySelector(".as-of").textContent.includes("live")`)
	s.Seed.Order(t, "MP-120", provision.Cancelled)
	b.until(`document.getElementById("changed")?.textContent === "1 changed · Show"`)
	b.until(`document.querySelectorAll("tbody tr").length === 3`)
	b.do(chromedp.Click("#changed button"))
	b.until(`document.querySelectorAll("tbody tr").length === 4 && !document.getElementById("changed")`)
	b.keep("orders-phone")
	for _, id := range []string{"MP-117", "MP-118", "MP-120"} {
		b.do(chromedp.Click(fmt.Sprintf(`input[value=%q]`, id)))
	}
	b.do(chromedp.Click(`.bulk button[value=fail]`))
	b.until(`document.querySelector("h1").textContent === "Give up: 3 orders"`)
	b.until(`document.querySelector("main").textContent.includes("1 order will probably refuse it")`)
	b.keep("batch-review-phone")
	b.overwrite("f-reason", "No stock this week\r")
	b.until(`document.getElementById("state")?.textContent === "Completed"`)
	b.until(`document.querySelector(".tabs").textContent.includes("Done 2")`)
	b.until(`document.documentElement.scrollWidth <= innerWidth`)
	b.keep("batch-phone")
}
