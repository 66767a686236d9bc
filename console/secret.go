package console

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"quartermaster/api/openapi"
)

// onceField is the hidden field of a form whose answer shows a secret. It is made with the form and sent as the Idempotency-Key, so
// that a reload of the answer makes and shows nothing.
const onceField = "once"

// Codes of the API's refusals of a form that was sent before.
const (
	codeAlreadyDone = "AlreadyDone"
	codeReused      = "IdempotencyKeyReused"
)

// onceForm is newForm with a new onceField.
func (p *page) onceForm(initial url.Values) *form {
	if initial == nil {
		initial = url.Values{}
	}
	initial.Set(onceField, uuid.NewString())
	return p.newForm(initial)
}

// secretData is what the page shows that has a secret: this once.
type secretData struct {
	Label  string // of the secret
	Secret string
	Notes  []string // what to do with it
	Name   string   // of what it belongs to
	URL    string
}

// spentData is what the page shows in place of a secret that was shown before.
type spentData struct {
	At      time.Time
	Name    string // of what was made
	URL     string
	Replace string // where to get a new secret; empty: the person may not
}

// showSecret answers with a secret. There is no redirect, so that no address, cookie or store has it.
func (p *page) showSecret(title string, data secretData) error { return p.show("secret", title, data) }

// madeEarlier returns what an earlier request with the same form made; nil: this is not what the error says.
func madeEarlier(err error) *openapi.EarlierRequest {
	if refusal, ok := errors.AsType[*openapi.Problem](err); ok && refusal.Code == codeAlreadyDone {
		return refusal.Earlier
	}
	return nil
}

// showSpent answers a reload of the page that had a secret.
func (p *page) showSpent(data spentData) error {
	return p.showStatus(http.StatusConflict, "secret-spent", "The secret was shown before", data)
}

// refuseOnce is refuse for a form whose answer shows a secret. If the form was sent before with other values, sending it again makes
// another secret. A right that the person lacks is said in the form.
func (f *form) refuseOnce(err error) bool {
	refusal, ok := errors.AsType[*openapi.Problem](err)
	switch {
	case ok && refusal.Code == codeReused:
		f.Values.Set(onceField, uuid.NewString())
		f.Status = refusal.Status
		f.Refused = "This form was sent before with other values, and was carried out. Send it again to do this as well."
	case ok && refusal.Status == http.StatusForbidden:
		f.Status, f.Refused = refusal.Status, sentence(refusal.Detail)
	case !f.refuse(err, nil):
		return false
	}
	f.gather()
	return true
}

// gather gives what is wrong with one value of a field that has several to the field.
func (f *form) gather() {
	for i, of := range f.Listed {
		f.Listed[i].Field, _, _ = strings.Cut(of.Field, ".")
	}
}

// several returns the values of a field, without blanks and empty ones. A field of text has them separated by commas.
func (f *form) several(name string) (values []string) {
	for _, text := range f.Values[name] {
		for value := range strings.SplitSeq(text, ",") {
			if value = strings.TrimSpace(value); value != "" {
				values = append(values, value)
			}
		}
	}
	return values
}

// pointer returns a pointer to the values, or nil if there is none.
func pointer[T any](values []T) *[]T {
	if len(values) == 0 {
		return nil
	}
	return &values
}
