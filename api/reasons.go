package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// reasonRules checks a body that contains only a reason.
func reasonRules(_ context.Context, body []byte) ([]provision.FieldError, error) {
	var form openapi.OptionalReason
	_ = json.Unmarshal(body, &form) // an empty body has no reason, and the document's findings cover other types
	return wrongReason(form.Reason), nil
}

// noteRules checks a body that contains only a note.
func noteRules(_ context.Context, body []byte) ([]provision.FieldError, error) {
	var form struct {
		Note *string `json:"note"`
	}
	_ = json.Unmarshal(body, &form) // the document's findings cover other types
	broken := wrongReason(form.Note)
	for i := range broken {
		broken[i].Field = "note"
	}
	return broken, nil
}

const mostOfReason = 500 // characters

// wrongReason checks a reason, if there is one. Databases refuse NUL, and terminals would interpret escape sequences.
func wrongReason(reason *string) []provision.FieldError {
	text := value(reason)
	length := utf8.RuneCountInString(text)
	if reason == nil || length <= mostOfReason && strings.TrimSpace(text) != "" && !strings.ContainsFunc(text, unicode.IsControl) {
		return nil
	}
	return []provision.FieldError{{Field: "reason",
		Message: fmt.Sprintf("must have 1 to %d characters, not only spaces, and no control characters; it has %d", mostOfReason, length)}}
}

// plainText reports whether a text has no control characters, so that it can be shown anywhere.
func plainText(text string) bool { return !strings.ContainsFunc(text, unicode.IsControl) }
