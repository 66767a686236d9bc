package console

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"quartermaster/api/openapi"
)

// form is what a person typed, and what the API said about it.
type form struct {
	Values  url.Values
	Refused string         // why nothing was done; empty: the form was not sent yet
	Listed  []fieldMessage // each with the field that it is about
	Status  int            // of the API's answer
	// Labels name fields in the summary of what is wrong, for messages that do not say which field they are about.
	Labels map[string]string
}

// fieldMessage is what is wrong with a field. Field is empty if the form has no such field.
type fieldMessage struct{ Field, Message string }

// option is a choice in a list.
type option struct{ Value, Label string }

// newForm returns a form with initial values: those that the person had typed before a sign-in interrupted, or else those of the
// address, or else the given ones.
func (p *page) newForm(initial url.Values) *form {
	values := url.Values{}
	for _, from := range []url.Values{initial, p.r.URL.Query(), p.kept} {
		for name, value := range from {
			values[name] = value
		}
	}
	return &form{Values: values}
}

// sent reads the form that was sent.
func (p *page) sent() (*form, error) { return p.sentUpTo(maxForm) }

// sentUpTo reads the form that was sent, if it has no more bytes than that.
func (p *page) sentUpTo(limit int64) (*form, error) {
	p.r.Body = http.MaxBytesReader(p.w, p.r.Body, limit)
	if err := p.r.ParseForm(); err != nil {
		return nil, &problem{status: http.StatusRequestEntityTooLarge, title: "The form is too large", detail: "Nothing was done. Send less."}
	}
	return &form{Values: p.r.PostForm}, nil
}

// Value returns the text of a field.
func (f *form) Value(name string) string { return f.Values.Get(name) }

// Has reports whether one of the field's values is the given one.
func (f *form) Has(name, value string) bool { return slices.Contains(f.Values[name], value) }

// Problems returns what is wrong with a field.
func (f *form) Problems(name string) (messages []string) {
	for _, of := range f.Listed {
		if of.Field == name {
			messages = append(messages, of.Message)
		}
	}
	return messages
}

// optional returns the text of a field, or nil if it is empty.
func (f *form) optional(name string) *string {
	if text := f.Value(name); text != "" {
		return &text
	}
	return nil
}

// refuse records the API's refusal in the form, which is then shown again. It returns false for errors that are not about what the
// person sent: those get a page of their own. The API's names of fields are those of the form, unless renamed says otherwise.
func (f *form) refuse(err error, renamed map[string]string) bool {
	refusal, ok := errors.AsType[*openapi.Problem](err)
	if !ok || refusal.Status < 400 || refusal.Status >= 500 ||
		slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests}, refusal.Status) {
		return false
	}
	f.Status, f.Refused = refusal.Status, refusal.Detail
	for _, e := range listed(refusal.Errors) {
		field := ""
		if e.Field != nil {
			field = *e.Field
		}
		if other, ok := renamed[field]; ok {
			field = other
		}
		f.Listed = append(f.Listed, fieldMessage{field, e.Message})
	}
	return true
}

// again shows a page with the form that was refused, with the API's status.
func (p *page) again(f *form, name, title string, data any) error {
	return p.showStatus(f.Status, name, "Error: "+title, data)
}
