package activities

import (
	"context"
	"errors"

	"quartermaster/internal/provision"
)

// ImportProgress is the result of ImportRows. The rows and their faults stay in the database.
type ImportProgress struct {
	State     provision.ImportState `json:"state,omitempty"` // empty when the import does not exist, or not yet
	DryRun    bool                  `json:"dry_run,omitempty"`
	RowsTotal int                   `json:"rows_total"`
	RowsDone  int                   `json:"rows_done"`
	Added     int                   `json:"added"`
	Unchanged int                   `json:"unchanged"`
	Faulty    int                   `json:"faulty"`
}

// GivenUp is the input of FailImport: an import, and why it ends.
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

// FailImport ends an import. The accounts that it has added stay.
func (a *Activities) FailImport(ctx context.Context, in GivenUp) error {
	return conclude(ctx, a.Imports.Fail(ctx, in.Import, in.Reason), "")
}
