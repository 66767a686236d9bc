package console

import (
	"strings"

	"quartermaster/api/openapi"
)

// protectedData is what the page of the protected accounts shows.
type protectedData struct {
	Items []openapi.ProtectedAccount
	Next  string
	Shown int
	Form  *form
}

// protectedAccounts answers GET /{provider}/pools/protected.
func protectedAccounts(p *page) error { return p.showProtected(p.newForm(nil)) }

func (p *page) showProtected(f *form) error {
	found, err := read[openapi.ProtectedAccountPage](p.API.ListProtectedAccounts(p.ctx(), &openapi.ListProtectedAccountsParams{
		Limit: new(listLimit), Cursor: p.cursor()}))
	if err != nil {
		return err
	}
	data := protectedData{Items: found.Items, Next: p.nextPage(found.NextCursor), Shown: len(found.Items), Form: f}
	if f.Refused != "" {
		return p.again(f, "protected", "Protected accounts", data)
	}
	return p.show("protected", "Protected accounts", data)
}

// protectAccount answers POST /{provider}/pools/protected.
func protectAccount(p *page) error {
	f, err := p.sent()
	if err != nil {
		return err
	}
	id := strings.ReplaceAll(strings.TrimSpace(f.Value("account_id")), " ", "")
	if id == "" {
		f.wrong("account_id", "Account: write the 12 digits of the AWS account id")
		return p.showProtected(f)
	}
	if _, err = read[openapi.ProtectedAccount](p.API.ProtectAccount(p.ctx(), id, openapi.Protection{Note: f.Value("note")})); err != nil {
		if f.refuse(err, nil) {
			return p.showProtected(f)
		}
		return err
	}
	return p.redirect(p.URL("pools", "protected"), "Account "+id+" is protected.")
}

// unprotectPage answers GET /{provider}/pools/protected/{account}/unprotect.
func unprotectPage(p *page) error { return p.showUnprotect(p.newForm(nil)) }

// unprotectData is what the review of the end of a protection shows.
type unprotectData struct {
	ID   string
	Form *form
}

func (p *page) showUnprotect(f *form) error {
	data := unprotectData{p.r.PathValue("account"), f}
	if f.Refused != "" {
		return p.again(f, "unprotect", "Remove the protection", data)
	}
	return p.show("unprotect", "Remove the protection", data)
}

// unprotectAccount answers POST /{provider}/pools/protected/{account}/unprotect.
func unprotectAccount(p *page) error {
	f, err := p.sent()
	if err != nil {
		return err
	}
	if f.Value("reason") == "" {
		f.wrong("reason", needsReason)
		return p.showUnprotect(f)
	}
	id := p.r.PathValue("account")
	if err = done(p.API.UnprotectAccount(p.ctx(), id, &openapi.UnprotectAccountParams{Reason: f.optional("reason")})); err != nil {
		if f.refuse(err, nil) {
			return p.showUnprotect(f)
		}
		return err
	}
	return p.redirect(p.URL("pools", "protected"), "Account "+id+" is no longer protected.")
}
