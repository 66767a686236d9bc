package provision

import "time"

// SavedFilter is a filter of a list that a caller of the API saved for itself.
type SavedFilter struct {
	Name    string    `db:"name"`
	Page    string    `db:"page"`  // orders, accounts or history
	Query   string    `db:"query"` // a query string, as the URL of the list has it
	SavedAt time.Time `db:"saved_at"`
}

// FilterOwner is whose saved filters are meant.
type FilterOwner struct {
	Provider string
	Caller   string // an API key or a person
}

// MostSavedFilters is how many filters a caller may have.
const MostSavedFilters = 50
