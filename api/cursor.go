package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"regexp"
	"time"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// A cursor is the place of the last thing on a page, so that things which come in or change meanwhile shift no page. It
// is not signed: it only says where to go on, and the provider always comes from the API key, so a forged one shows
// nothing that the filters would not show.

func encodeCursor(place any) *string {
	text, err := json.Marshal(place)
	if err != nil {
		panic("api: a cursor that is not JSON: " + err.Error()) // two plain fields: cannot happen
	}
	cursor := base64.RawURLEncoding.EncodeToString(text)
	return &cursor
}

func orderCursor(text *string) (*provision.OrderCursor, error) {
	return decodeCursor(text, func(c provision.OrderCursor) bool {
		return plausible(c.CreatedAt) && len(provision.ValidateOrderID(c.ID)) == 0
	})
}

func accountCursor(text *string) (*provision.AccountCursor, error) {
	return decodeCursor(text, func(c provision.AccountCursor) bool {
		return plausible(c.AddedAt) && accountIDPattern.MatchString(c.ID)
	})
}

var accountIDPattern = regexp.MustCompile(`^[0-9]{12}$`)

// plausible keeps out times that the database cannot hold.
func plausible(t time.Time) bool { return t.Year() >= 1970 && t.Year() < 10000 }

// decodeCursor reads a cursor strictly: rubbish, and the cursor of another list, are refused rather than answered with
// some page.
func decodeCursor[T any](text *string, ok func(T) bool) (*T, error) {
	if text == nil {
		return nil, nil
	}
	var place T
	raw, err := base64.RawURLEncoding.Strict().DecodeString(*text)
	if err == nil {
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.DisallowUnknownFields()
		if err = decoder.Decode(&place); err == nil {
			if _, more := decoder.Token(); more == io.EOF && ok(place) {
				return &place, nil
			}
		}
	}
	return nil, invalidParameters(openapi.FieldProblem{In: "query", Field: optional("cursor"),
		Message: "not a cursor of this list: send next_cursor of the page before as it was, or leave it out for the first page"})
}

const defaultLimit = 50

// pageSize is the limit of a list.
func pageSize(limit *int) int {
	if limit == nil {
		return defaultLimit
	}
	return *limit
}

// page cuts off the one item more that was asked for in order to know whether there is a next page.
func page[T any](items []T, size int) (shown []T, more bool) {
	if len(items) > size {
		return items[:size], true
	}
	return items, false
}
