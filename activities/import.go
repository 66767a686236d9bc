package activities

import (
	"context"
	"errors"

	"quartermaster/internal/provision"
)

// ImportProgress is how far an import is. The rows and what is wrong with them stay in our database.
type ImportProgress struct {
	State     provision.ImportState `json:"state,omitempty"` // empty: there is no such import, or not yet
	DryRun    bool                  `json:"dry_run,omitempty"`
	RowsTotal int                   `json:"rows_total"`
	RowsDone  int                   `json:"rows_done"`
	Added     int                   `json:"added"`
	Unchanged int                   `json:"unchanged"`
	Faulty    int                   `json:"faulty"`
}

// GivenUp says which import is given up and why.
type GivenUp struct {
	Import provision.ImportKey `json:"import"`
	Reason string              `json:"reason"`
}

// ImportRows imports the next rows of an import.
func (a *Activities) ImportRows(ctx context.Context, key provision.ImportKey) (ImportProgress, error) {
	now, _, err := a.Imports.RunBatch(ctx, key, a.ProtectedIDs)
	if errors.Is(err, provision.ErrNotFound) {
		return ImportProgress{}, nil
	}
	return ImportProgress{now.State, now.DryRun, now.RowsTotal, now.RowsDone, now.Added, now.Unchanged, now.Faulty}, conclude(ctx, err, "")
}

// FailImport gives an import up. What was added stays.
func (a *Activities) FailImport(ctx context.Context, in GivenUp) error {
	return conclude(ctx, a.Imports.Fail(ctx, in.Import, in.Reason), "")
}
