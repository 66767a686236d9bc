package console

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// A file with faults is checked, confirmed and imported; the page follows the import by itself.
func TestAFileIsImported(t *testing.T) {
	s := setup(t)
	file := "account_id,marketplace,environment,model,name,root_email,role_arn\n"
	for i := range 40 {
		file += fmt.Sprintf("11112222%04d,nordic,production,SPAM,Pool %d,aws+%d@acme.example,"+
			"arn:aws:iam::11112222%04d:role/Quartermaster\n", i, i, i, i)
	}
	path := filepath.Join(t.TempDir(), "accounts.csv")
	require.NoError(t, os.WriteFile(path, []byte(file+"12,nordic,production,SPAM,x,none,role\n"), 0o600))
	for _, v := range []view{desk, phone} {
		b := s.open(t, v)
		b.signIn(provision.RoleOperator)
		b.visit("/console/acme/accounts/import")
		b.do(chromedp.SetUploadFiles("#f-file", []string{path}), chromedp.Click("main form button.main"))
		b.until(`document.querySelector("h1").textContent.includes("Check of accounts.csv")`)
		b.until(`document.querySelector("tbody").textContent.includes("account_id")`)
		b.keep("import-review-" + v.name)
		if v == phone {
			b.until(`document.querySelector("main").textContent.includes("There is nothing to add")`)
			continue
		}
		b.do(chromedp.Click(`form[action$="/start"] button.main`))
		b.until(`document.querySelector(".said-done")?.textContent.includes("The import has started")`)
		b.until(`document.getElementById("import-status").textContent.includes("Completed, with faults")`)
		b.keep("import-done-" + v.name)
	}
	found, err := s.DB.Accounts.Get(t.Context(), "acme", "111122220039")
	require.NoError(t, err)
	require.Equal(t, "Pool 39", found.Name)
}

// The keyboard alone leads from anywhere to an account, and makes it Invalid.
func TestAnAccountByKeyboard(t *testing.T) {
	s := setup(t)
	s.Seed.Account(t, "111122220001", provision.AccountReady)
	s.Seed.Account(t, "111122220002", provision.AccountReady)
	b := s.open(t, desk)
	b.signIn(provision.RoleOperator)
	b.until(`document.body.classList.contains("scripted")`)
	b.do(chromedp.KeyEvent("g"), chromedp.KeyEvent("a"))
	b.until(`document.title.startsWith("Accounts") && document.body.classList.contains("scripted")`)
	b.do(chromedp.KeyEvent("jj"), chromedp.KeyEvent("\r"))
	b.until(`document.title.startsWith("111122220002")`)
	b.tabTo("Make Invalid…")
	b.do(chromedp.KeyEvent("\r"))
	b.until(`document.title.startsWith("Make Invalid")`)
	b.tabTo("reason")
	b.do(chromedp.KeyEvent("An abuse report"), chromedp.KeyEvent("\t"), chromedp.KeyEvent("\r"))
	b.until(`document.querySelector(".said-done")?.textContent.includes("The account is Invalid")`)
	b.keep("account-invalid")
	found, err := s.DB.Accounts.Get(t.Context(), "acme", "111122220002")
	require.NoError(t, err)
	require.Equal(t, provision.AccountInvalid, found.Status)
}

// On a phone, an admin changes a setting after a review, and the alert that it causes appears on a page that is open.
func TestASettingOnAPhone(t *testing.T) {
	s := setup(t)
	s.Seed.Account(t, "111122220001", provision.AccountReady)
	b := s.open(t, phone)
	b.signIn(provision.RoleAdmin)
	b.visit("/console/acme/pools/nordic/production/edit")
	b.do(chromedp.SendKeys("#f-stock_threshold", "5"), chromedp.Submit("#f-stock_threshold"))
	b.until(`document.title.startsWith("Review the settings")`)
	b.keep("pool-review-phone")
	b.do(chromedp.Click(`button[name=confirm]`))
	b.until(`document.querySelector(".said-done")?.textContent.includes("The settings are changed: Low stock threshold.")`)

	b.visit("/console/acme/alerts")
	b.until(`document.getElementById("live-state").textContent.includes("live")`)
	b.until(`document.body.textContent.includes("No alert is open")`)
	s.WatchStock(t)
	b.until(`document.body.textContent.includes("1 account is Ready, the threshold is 5")`)
	b.do(chromedp.Click(".todo a.act"))
	b.until(`document.title.startsWith("Acknowledge")`)
	b.do(chromedp.SendKeys("#f-note", "Twenty accounts come on Thursday"), chromedp.Click("main form button.main"))
	b.until(`document.querySelector(".said-done")?.textContent.includes("The alert is acknowledged")`)
	b.keep("alerts-acknowledged-phone")
}

// No page of the stock is wider than its window, in both widths; CONSOLE_PICTURES keeps a picture of each.
func TestStockPagesFitTheirWindow(t *testing.T) {
	s := setup(t)
	seedStock(t, s)
	b := s.open(t, desk)
	b.signIn(provision.RoleAdmin)
	for name, path := range stockPages {
		b.visit("/console/acme/" + path)
		for _, v := range []view{desk, deskDark, phone} {
			b.look(v)
			b.until(`document.documentElement.scrollWidth <= innerWidth`)
			b.keep(name + "-" + v.name)
		}
	}
}
