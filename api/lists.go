package api

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"time"

	"quartermaster/api/openapi"
	"quartermaster/api/resource"
)

// A list reads one page at a time. A cursor C is the place of the last item on a page, so that items which are added or
// changed in the meantime shift no page. A cursor is not signed: it only says where to continue, and the provider always
// comes from the API key, so a forged cursor shows nothing that the filters would not show.
type list[C, T, R any] struct {
	valid func(C) bool                           // refuses a cursor that the database could not use
	read  func(after *C, limit int) ([]T, error) // reads at most limit items after a place; nil: from the start
	show  func(T) R                              // turns an item into what the API shows of it
	place func(T) C                              // is the place of an item
}

const defaultLimit = 50

// page returns one page and the cursor of the next one, which is nil on the last page. It reads one item more than the page
// has, in order to know whether there is a next page.
func (l list[C, T, R]) page(cursor *string, limit *int) (items []R, next *string, err error) {
	after, err := decodeCursor(cursor, l.valid)
	if err != nil {
		return nil, nil, err
	}
	size := pageSize(limit)
	found, err := l.read(after, size+1)
	if err != nil {
		return nil, nil, err
	}
	if len(found) > size {
		found = found[:size]
		next = encodeCursor(l.place(found[size-1]))
	}
	items = make([]R, len(found))
	for i, item := range found {
		items[i] = l.show(item)
	}
	return items, next, nil
}

// pageSize is the number of items on a page of a list.
func pageSize(limit *int) int {
	if limit == nil {
		return defaultLimit
	}
	return *limit
}

func encodeCursor(place any) *string {
	text, err := json.Marshal(place)
	if err != nil {
		panic("api: a cursor that is not JSON: " + err.Error()) // two plain fields: cannot happen
	}
	cursor := base64.RawURLEncoding.EncodeToString(text)
	return &cursor
}

// decodeCursor reads a cursor strictly: it refuses what this list has not made, such as the cursor of another list, instead of
// answering with some page.
func decodeCursor[T any](text *string, valid func(T) bool) (*T, error) {
	if text == nil {
		return nil, nil
	}
	var place T
	raw, err := base64.RawURLEncoding.DecodeString(*text)
	if err == nil && json.Unmarshal(raw, &place) == nil && valid(place) && *encodeCursor(place) == *text {
		return &place, nil
	}
	return nil, invalidParameters(openapi.FieldProblem{In: "query", Field: resource.Optional("cursor"),
		Message: "not a cursor of this list: send next_cursor of the previous page unchanged, or leave it out for the first page"})
}

// seqCursor is a place in a list that is sorted by a sequence number.
type seqCursor struct {
	Seq int64 `json:"s"`
}

func (c seqCursor) valid() bool { return c.Seq > 0 }

var accountIDPattern = regexp.MustCompile(`^[0-9]{12}$`)

// plausible refuses times that the database cannot store, and those that are not in UTC.
func plausible(t time.Time) bool {
	return t.Location() == time.UTC && t.Year() >= 1970 && t.Year() < 10000
}
