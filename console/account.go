package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// accountData is what the page of an account shows.
type accountData struct {
	Account openapi.Account
	Version string
	Checks  loaded[openapi.AccountChecks]
	Changes loaded[openapi.AccountChangePage]
	Role    loaded[openapi.AccountRole]
	History loaded[openapi.HistoryPage]
	Verbs   []verbLink
}

// accountHistory is how many entries of the history, and how many changes, the page shows.
const accountHistory = 30

// accountPage answers GET /{provider}/accounts/{account}: may it be used, and if not, why?
func accountPage(p *page) error {
	id := p.r.PathValue("account")
	account, version, err := readVersion[openapi.Account](p.API.GetAccount(p.ctx(), id))
	if err != nil {
		return err
	}
	data := accountData{Account: account, Version: version}
	var parts errgroup.Group
	ctx := p.ctx()
	load(&parts, &data.Checks, func() (*http.Response, error) { return p.API.ListAccountChecks(ctx, id) })
	load(&parts, &data.Changes, func() (*http.Response, error) {
		return p.API.ListAccountChanges(ctx, id, &openapi.ListAccountChangesParams{Limit: new(accountHistory)})
	})
	load(&parts, &data.Role, func() (*http.Response, error) { return p.API.GetAccountRole(ctx, id, &openapi.GetAccountRoleParams{}) })
	load(&parts, &data.History, func() (*http.Response, error) {
		return p.API.ListHistory(ctx, &openapi.ListHistoryParams{
			Kind: &[]openapi.HistoryKind{"account"}, AccountID: &id, Limit: new(accountHistory)})
	})
	_ = parts.Wait() // each part has its own error
	data.Verbs = p.accountVerbs(account)
	p.Live = "10"
	return p.show("account", id+", "+accountState(account).Word, data)
}

// Verdict answers in one sentence whether orders may use the account.
func (d accountData) Verdict() string {
	a := d.Account
	switch {
	case a.RemovingSince != nil:
		return "No: Quartermaster is removing what an order left in it. Nothing else can be done until that has ended."
	case a.Status == provision.AccountReady && a.Place != nil:
		return fmt.Sprintf("Yes: it is number %s in line of the Ready %s accounts of its pool.", number(*a.Place), a.Model)
	case a.Status == provision.AccountReady:
		return "Yes: orders take the oldest Ready account of the pool."
	case a.Status == provision.AccountProvisioning:
		return "An order holds it."
	case a.Status == provision.AccountAllocated:
		return "No: it belongs to the customer of an order."
	case a.ReadyWhenVerified:
		return "Not yet: it becomes Ready as soon as verification passes."
	case a.Status == provision.AccountProvisioningFailed:
		return "No: an order failed in it. Look at what is left, clear it, and return the account."
	}
	return "No: it is kept out until someone returns it."
}

// Why is the reason of the status, where it says more than the status.
func (d accountData) Why() string {
	without := d.Account
	without.Finding = nil
	return accountNote(without)
}

// checkWords say what a check of a verification asks.
var checkWords = map[openapi.CheckName]string{
	"not_protected": "The account is not protected",
	"role":          "The role can be assumed with the external id",
	"identity":      "The role is in this account",
	"external_id":   "The role cannot be assumed without the external id",
	"account_state": "AWS has not suspended or closed the account",
	"readable":      "The alias and the contacts can be read",
	"contact":       "AWS would accept the primary contact again",
	"clean":         "No IAM user of an order is left",
}

// checkWord says what a check asks. A check that this version does not know is named as the API names it.
func checkWord(name openapi.CheckName) string {
	if words, ok := checkWords[name]; ok {
		return words
	}
	return string(name)
}

// resourceWords are what orders change in accounts.
var resourceWords = map[string]string{
	"iam_user": "IAM user", "contacts": "Contacts", "account_alias": "Account alias", "cost_report": "Cost report", "sign_in": "Sign-in",
}

// resourceWord names what an order changed.
func resourceWord(name string) string {
	if words, ok := resourceWords[name]; ok {
		return words
	}
	return name
}

// policy writes an IAM policy as people paste it into AWS.
func policy(document openapi.IAMPolicy) string {
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return "" // a policy came as JSON and can be written as JSON
	}
	return string(text)
}

// accountEntry is an entry of an account's history in words.
type accountEntry struct {
	Status *status // the account got this status; nil: it kept its status
	Word   string  // what happened or was asked
	Detail string
}

// accountWords are what happens to accounts, by the codes of the history.
var accountWords = map[string]string{
	"update": "Edited", "delete": "Deleted", "invalidate": "Made Invalid", "return": "Returned", "verify": "Verification asked for",
	"remove-leftovers": "Removal of leftovers asked for", "leftovers-removed": "Leftovers removed", "protect": "Protected",
	"protected": "Protected", "changed": "Protection changed", "unprotected": "No longer protected", "verified": "Verified",
	"not-verified": "Not verified",
}

// accountHistoryEntry says what an entry of the history of an account is about.
func accountHistoryEntry(e openapi.HistoryEntry) (entry accountEntry) {
	from, to := accountStatusIn(e.From), accountStatusIn(e.To)
	if to != "" && from != to {
		entry.Status = new(accountStatus(to))
	}
	if e.Code != nil {
		if entry.Word = accountWords[*e.Code]; entry.Word == "" {
			entry.Word = *e.Code
		}
	} else if from == "" {
		entry.Word = "Added"
	}
	return entry
}

// accountStatusIn reads a status from an entry of the history, in which values are JSON.
func accountStatusIn(value *json.RawMessage) (of provision.AccountStatus) {
	if value != nil {
		_ = json.Unmarshal(*value, &of) // what is no text is no status
	}
	return of
}

// Due says when the account is verified next.
func (d accountData) Due(now time.Time) string {
	switch {
	case d.Account.VerifyAt == nil:
		return "not scheduled"
	case d.Account.VerifyAt.Before(now):
		return "now"
	}
	return ""
}
