package client

import (
	"encoding/json"
	"iter"
	"net/http"
)

// mostOnPage is the largest page of the API.
const mostOnPage = 200

// Item is an item of a list, and its JSON as the API sent it.
type Item[T any] struct {
	Value T
	Raw   json.RawMessage
}

// List returns the items of a list, page by page. get reads one page. The sequence ends with the first error.
func List[T any](get func(limit *int, cursor *string) (*http.Response, error)) iter.Seq2[Item[T], error] {
	return func(yield func(Item[T], error) bool) {
		var cursor *string
		limit := mostOnPage
		for {
			page, err := pageOf[T](get(&limit, cursor))
			if err != nil {
				yield(Item[T]{}, err)
				return
			}
			for _, item := range page.items {
				if !yield(item, nil) {
					return
				}
			}
			if page.next == nil || len(page.items) == 0 { // a page of events always has a next one
				return
			}
			cursor = page.next
		}
	}
}

type page[T any] struct {
	items []Item[T]
	next  *string
}

func pageOf[T any](answer *http.Response, err error) (page[T], error) {
	raw, _, err := Object[struct {
		Items      []json.RawMessage `json:"items"`
		NextCursor *string           `json:"next_cursor"`
	}](answer, err)
	read := page[T]{next: raw.NextCursor}
	for _, item := range raw.Items {
		var value T
		if err == nil {
			value, err = decode[T](item)
		}
		read.items = append(read.items, Item[T]{value, item})
	}
	return read, err
}
