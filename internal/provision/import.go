package provision

import "time"

// ImportKey names a bulk import of accounts.
type ImportKey struct {
	Provider string `json:"provider" db:"provider"`
	ID       string `json:"id"       db:"id"` // uuid
}

// String returns the key as logs show it: provider/id.
func (k ImportKey) String() string { return k.Provider + "/" + k.ID }

// ImportState is the state of an import.
type ImportState string

// The states of an import.
const (
	ImportRunning   ImportState = "running"
	ImportCompleted ImportState = "completed" // every row has an outcome, which may be "faulty"
	ImportFailed    ImportState = "failed"    // it ended before every row had an outcome; accounts added until then stay
)

// NewImport is a file that is about to be imported.
type NewImport struct {
	ImportKey
	Actor      string
	DryRun     bool // check every row and change nothing
	File       []byte
	Rows       int   // of the file
	NextOffset int64 // the byte at which the first row begins
	NextLine   int   // the line of that byte
}

// AccountImport is an import and its progress.
type AccountImport struct {
	ImportKey
	Actor      string      `json:"actor"                 db:"actor"`
	DryRun     bool        `json:"dry_run"               db:"dry_run"`
	State      ImportState `json:"state"                 db:"state"`
	Reason     string      `json:"reason,omitempty"      db:"reason"` // why it failed
	RowsTotal  int         `json:"rows_total"            db:"rows_total"`
	RowsDone   int         `json:"rows_done"             db:"rows_done"` // added + unchanged + faulty
	Added      int         `json:"added"                 db:"added"`
	Unchanged  int         `json:"unchanged"             db:"unchanged"`
	Faulty     int         `json:"faulty"                db:"faulty"`
	Messages   int         `json:"messages"              db:"messages"` // a faulty row has one or more
	StartedAt  time.Time   `json:"started_at"            db:"started_at"`
	FinishedAt *time.Time  `json:"finished_at,omitempty" db:"finished_at"`
}

// RowOutcome is the outcome of one row of an import.
type RowOutcome string

// The outcomes of a row. In a dry run they say what the outcome would be.
const (
	RowAdded     RowOutcome = "added"
	RowUnchanged RowOutcome = "unchanged" // the account is in the pool with the same data
	RowFaulty    RowOutcome = "faulty"
)

// RowFault is one thing that is wrong with a row of a file: where it is, the rule, and how to correct it.
type RowFault struct {
	Line     int    // line of the file at which the row begins, from 1
	Column   string // name of the column in the header; empty: the header has no such column
	Position int    // of the column, from 1
	Message  string
}

// RowResult is one result of a row. A row with several faults has several results.
type RowResult struct {
	Line      int        `db:"line"`
	Nth       int        `db:"nth"` // 0 for the row's first result
	Outcome   RowOutcome `db:"outcome"`
	AccountID string     `db:"account_id"` // empty when the row names no account
	Column    string     `db:"column_name"`
	Position  int        `db:"column_position"`
	Message   string     `db:"message"`
}

// ImportResultFilter selects results of an import, in the order of the file. Zero fields do not filter.
type ImportResultFilter struct {
	Outcomes []RowOutcome
	Limit    int
	After    *ImportResultCursor // the last result of the previous page
}

// ImportResultCursor is a position in the list of results.
type ImportResultCursor struct {
	Line int `json:"l"`
	Nth  int `json:"n"`
}

// ImportCursor is a position in the list of imports, newest first.
type ImportCursor struct {
	StartedAt time.Time `json:"t"`
	ID        string    `json:"u"`
}
