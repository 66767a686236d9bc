package console

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// keyForm is what the form of a new API key shows.
type keyForm struct {
	Form         *form
	Roles        []openapi.RoleDescription
	Scopes       []option // with the roles that have them
	Marketplaces []option // nil: they must be typed
}

// How long a new key lives.
const (
	endsInAYear = "year" // the API's default
	endsOn      = "day"
	endsNever   = "never"
)

// keyForm reads what the form offers.
func (p *page) keyForm(f *form) (keyForm, error) {
	roles, err := read[openapi.Roles](p.API.ListRoles(p.ctx()))
	if err != nil {
		return keyForm{}, err
	}
	return keyForm{Form: f, Roles: roles.Items, Scopes: scopesOf(roles), Marketplaces: p.marketplaces(f.several("marketplaces"))}, nil
}

// newKey answers GET /{provider}/keys/new.
func newKey(p *page) error {
	data, err := p.keyForm(p.onceForm(url.Values{"role": {string(provision.RoleOperator)}, "ends": {endsInAYear}}))
	if err != nil {
		return err
	}
	return p.show("key-form", "Make an API key", data)
}

// createKey answers POST /{provider}/keys/new.
func createKey(p *page) error {
	f, err := p.sent()
	if err != nil {
		return err
	}
	wanted, ok := p.wantedKey(f)
	if !ok {
		return p.keyAgain(f)
	}
	made, err := read[openapi.NewAPIKeyText](p.API.CreateAPIKey(p.ctx(),
		&openapi.CreateAPIKeyParams{IdempotencyKey: f.optional(onceField)}, wanted))
	if earlier := madeEarlier(err); earlier != nil {
		return p.showSpent(p.spentKey(earlier))
	}
	if err != nil && f.refuseOnce(err) {
		for i, of := range f.Listed {
			if of.Field == "expires_at" {
				f.Listed[i].Field = "ends_on"
			}
		}
		return p.keyAgain(f)
	}
	if err != nil {
		return err
	}
	return p.showSecret("The key is made", secretData{Label: "API key", Secret: made.Secret, Name: made.APIKey.Name,
		URL: p.URL("keys", made.APIKey.ID), Notes: []string{keyNote}})
}

// keyAgain shows the form again that was refused.
func (p *page) keyAgain(f *form) error {
	data, err := p.keyForm(f)
	if err != nil {
		return err
	}
	return p.again(f, "key-form", "Make an API key", data)
}

// wantedKey turns the form into the API's request; false: a field cannot be read, and the form says which. The request is the same
// whenever the form is sent.
func (p *page) wantedKey(f *form) (wanted openapi.NewAPIKey, ok bool) {
	wanted = openapi.NewAPIKey{Name: f.Value("name"), Role: provision.Role(f.Value("role")), Marketplaces: pointer(f.several("marketplaces"))}
	for _, scope := range f.several("scopes") {
		wanted.Scopes = pointer(append(listed(wanted.Scopes), provision.Scope(scope)))
	}
	switch f.Value("ends") {
	case endsNever:
		wanted.ExpiresAt.SetNull()
	case endsOn:
		day, err := time.ParseInLocation(time.DateOnly, f.Value("ends_on"), p.location)
		if err != nil {
			f.Listed = append(f.Listed, fieldMessage{"ends_on", fmt.Sprintf("%q is not a day: write it as 2027-01-31.", f.Value("ends_on"))})
		}
		wanted.ExpiresAt.Set(day.AddDate(0, 0, 1).UTC()) // the last day counts
	}
	if text := strings.TrimSpace(f.Value("requests_per_second")); text != "" {
		limit, err := strconv.ParseFloat(text, 64)
		if err != nil {
			f.Listed = append(f.Listed, fieldMessage{"requests_per_second", fmt.Sprintf("%q is not a number: write one such as 10 or 0.5.", text)})
		}
		wanted.RequestsPerSecond = &limit
	}
	if len(f.Listed) > 0 {
		f.Status, f.Refused = http.StatusUnprocessableEntity, plural(len(f.Listed), "field is invalid", "fields are invalid")
	}
	return wanted, len(f.Listed) == 0
}
