package provision

import "time"

// ImportKey names a bulk import of accounts.
type ImportKey struct {
	Provider string `json:"provider" db:"provider"`
	ID       string `json:"id"       db:"id"` // uuid
}

// String is the key as logs write it: provider/id.
func (k ImportKey) String() string { return k.Provider + "/" + k.ID }

// ImportState is where an import stands.
type ImportState string

// The states of an import.
const (
	ImportRunning   ImportState = "running"
	ImportCompleted ImportState = "completed" // every row has an outcome, faulty ones included
	ImportFailed    ImportState = "failed"    // it was given up; what was added until then stays
)

// NewImport is a file that is to be imported.
type NewImport struct {
	ImportKey
	Actor      string
	DryRun     bool // check every row and change nothing
	ByWorkflow bool // a workflow does the work; false: the caller
	File       []byte
	Rows       int   // of the file
	NextOffset int64 // the byte at which the first row begins
	NextLine   int   // the line of that byte
}

// AccountImport is an import and how far it is.
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

// RowOutcome is what became of a row of an import.
type RowOutcome string

// The outcomes. In a dry run they say what would become of it.
const (
	RowAdded     RowOutcome = "added"
	RowUnchanged RowOutcome = "unchanged" // the account is in the pool with the same data
	RowFaulty    RowOutcome = "faulty"
)

// RowFault is one thing that is wrong with a row of a file: where, the rule, and the way out.
type RowFault struct {
	Line     int    // physical line at which the row begins, from 1
	Column   string // name of the column as the header has it; empty: the header has none there
	Position int    // of the column, from 1
	Message  string
}

// RowResult is what became of a row. A row with several faults has several.
type RowResult struct {
	Line      int        `db:"line"`
	Nth       int        `db:"nth"` // 0 for the first of the row
	Outcome   RowOutcome `db:"outcome"`
	AccountID string     `db:"account_id"` // empty when the row names none
	Column    string     `db:"column_name"`
	Position  int        `db:"column_position"`
	Message   string     `db:"message"`
}

// ResultFilter selects results of an import in the order of the file. Zero fields do not filter.
type ResultFilter struct {
	Outcomes []RowOutcome
	Limit    int
	After    *ResultCursor
}

// ResultCursor is a place in the list of results.
type ResultCursor struct {
	Line int `json:"l"`
	Nth  int `json:"n"`
}

// ImportCursor is a place in the list of imports, newest first.
type ImportCursor struct {
	StartedAt time.Time `json:"t"`
	ID        string    `json:"u"`
}
