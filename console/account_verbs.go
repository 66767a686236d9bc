package console

import (
	"net/http"
	"slices"
	"strings"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// accountVerb is something that may be done to an account.
type accountVerb struct {
	Path   string // in the address of its page; the domain's name of the action
	name   string // of its button
	Title  string // of its page
	What   string // what will happen
	said   string // what is said afterwards
	Danger bool
	Reason bool                       // a reason is needed
	useful func(openapi.Account) bool // nil: whenever it is allowed
	do     func(p *page, id string, f *form) (*http.Response, error)
}

// accountVerbs are what may be done to accounts, as far as their state allows it. The API decides in the end.
var accountVerbs = []accountVerb{
	{
		Path: provision.ActionVerify, name: "Verify now", Title: "Verify", said: "Verification has started. The page shows its result.",
		What: "Quartermaster checks at once whether the account can be given to an order. That changes nothing in it.",
		do: func(p *page, id string, f *form) (*http.Response, error) {
			return p.API.VerifyAccount(p.ctx(), id, &openapi.VerifyAccountParams{IfMatch: f.optional("version")})
		},
	}, {
		Path: provision.ActionReturn, name: "Return…", Title: "Return to Ready", Reason: true,
		said: "Verification has started. The account becomes Ready when it passes.",
		What: "Verification starts at once. When it passes, the account becomes Ready and keeps its place in line: return it only after " +
			"you have repaired what was wrong.",
		useful: func(a openapi.Account) bool { return !a.ReadyWhenVerified },
		do: func(p *page, id string, f *form) (*http.Response, error) {
			return p.API.ReturnAccount(p.ctx(), id, &openapi.ReturnAccountParams{IfMatch: f.optional("version")},
				openapi.Reason{Reason: f.Value("reason")})
		},
	}, {
		Path: provision.ActionRemoveLeftovers, name: "Remove leftovers…", Title: "Remove what an order left", Reason: true,
		said: "The removal is running, for an hour at most. Nothing else can be done to the account until it has ended.",
		What: "Quartermaster runs the undo of the order again, for an hour at most. If nothing is left, the account becomes Ready when " +
			"verification passes, unless its pool keeps such accounts out.",
		useful: func(a openapi.Account) bool { return a.OrderID != nil },
		do: func(p *page, id string, f *form) (*http.Response, error) {
			return p.API.RemoveLeftovers(p.ctx(), id, openapi.Reason{Reason: f.Value("reason")})
		},
	}, {
		Path: provision.ActionInvalidate, name: "Make Invalid…", Title: "Make Invalid", Reason: true, Danger: true,
		said: "The account is Invalid. No order takes it until someone returns it.",
		What: "Orders no longer take the account, and it does not become Ready again by itself. You can return it later.",
		do: func(p *page, id string, f *form) (*http.Response, error) {
			return p.API.InvalidateAccount(p.ctx(), id, &openapi.InvalidateAccountParams{IfMatch: f.optional("version")},
				openapi.Reason{Reason: f.Value("reason")})
		},
	}, {
		Path: provision.ActionDelete, name: "Delete…", Title: "Delete", Reason: true, Danger: true,
		said: "The account is deleted from its pool. Nothing has changed in AWS.",
		What: "The account leaves its pool. Nothing changes in AWS, and its history stays readable. If you add it again, it gets a new " +
			"external id and the last place in line.",
		do: func(p *page, id string, f *form) (*http.Response, error) {
			return p.API.DeleteAccount(p.ctx(), id, &openapi.DeleteAccountParams{IfMatch: f.optional("version"), Reason: f.optional("reason")})
		},
	},
}

// editVerb is the end of the address of the form of an account. Its pages share the pattern of the verbs, because a pattern of its own
// would also match an import.
const editVerb = "edit"

// needsReason refuses an empty reason.
const needsReason = "Reason: say why, for the people who will read the history"

// permits reports whether the state of an account allows an action.
func permits(a openapi.Account, action string) bool {
	account := provision.Account{ID: a.ID, Status: a.Status}
	account.ReadyWhenVerified, account.RemovingSince = a.ReadyWhenVerified, a.RemovingSince
	return account.Forbids(action) == nil
}

// verbLink is a verb that the page of an account offers.
type verbLink struct {
	Name, URL string
	Danger    bool
	Now       bool // it is harmless: a button does it at once
}

// accountVerbs are the verbs that the role of the person and the state of the account allow.
func (p *page) accountVerbs(a openapi.Account) (links []verbLink) {
	if !p.May(provision.ScopeAccountsWrite) {
		return nil
	}
	for _, verb := range accountVerbs {
		if permits(a, verb.Path) && (verb.useful == nil || verb.useful(a)) {
			links = append(links, verbLink{verb.name, p.URL("accounts", a.ID, verb.Path), verb.Danger, !verb.Reason})
		}
		if verb.Path == provision.ActionVerify && permits(a, provision.ActionUpdate) {
			links = append(links, verbLink{Name: "Edit", URL: p.URL("accounts", a.ID, editVerb)})
		}
	}
	return links
}

// verbData is what the review of a verb shows.
type verbData struct {
	Account openapi.Account
	Verb    accountVerb
	Form    *form
}

// accountVerbOf is the verb that the address names.
func (p *page) accountVerbOf() (accountVerb, error) {
	at := slices.IndexFunc(accountVerbs, func(v accountVerb) bool { return v.Path == p.r.PathValue("verb") })
	if at < 0 {
		return accountVerb{}, noPage(p)
	}
	return accountVerbs[at], nil
}

// reviewAccount answers GET /{provider}/accounts/{account}/{verb}: what will happen to the account.
func reviewAccount(p *page) error {
	if p.r.PathValue("verb") == editVerb {
		return editAccount(p)
	}
	verb, err := p.accountVerbOf()
	if err != nil {
		return err
	}
	account, version, err := readVersion[openapi.Account](p.API.GetAccount(p.ctx(), p.r.PathValue("account")))
	if err != nil {
		return err
	}
	f := p.newForm(nil)
	f.Values.Set("version", version)
	return p.show("account-verb", verb.Title, verbData{account, verb, f})
}

// actOnAccount answers POST /{provider}/accounts/{account}/{verb}.
func actOnAccount(p *page) error {
	if p.r.PathValue("verb") == editVerb {
		return updateAccount(p)
	}
	verb, err := p.accountVerbOf()
	if err != nil {
		return err
	}
	f, err := p.sent()
	if err != nil {
		return err
	}
	id := p.r.PathValue("account")
	if verb.Reason && strings.TrimSpace(f.Value("reason")) == "" {
		f.wrong("reason", needsReason)
	} else if err = done(verb.do(p, id, f)); err == nil {
		if verb.Path == provision.ActionDelete {
			return p.redirect(p.URL("accounts"), "Account "+id+" is deleted from its pool. Nothing has changed in AWS.")
		}
		return p.redirect(p.URL("accounts", id), verb.said)
	} else if !f.refuse(err, nil) {
		return err
	}
	// The page shows the account as it is now, and the next attempt is about that version.
	account, version, err := readVersion[openapi.Account](p.API.GetAccount(p.ctx(), id))
	if err != nil {
		return err
	}
	f.Values.Set("version", version)
	return p.again(f, "account-verb", verb.Title, verbData{account, verb, f})
}
