package activities

import (
	"context"
	"encoding/json"
	"errors"

	"quartermaster/internal/provision"
)

// The activities of this file use only the database. The workflow RemoveLeftovers runs the undos of an order again, to remove what they
// left in an account.

// KeptUndo is what it takes to run the undos of an order in an account again. As the input of KeepUndo it has no assignment: the
// database has it.
type KeptUndo struct {
	Work
	Journal provision.Journal          `json:"journal"`
	Written *provision.WrittenContacts `json:"written,omitempty"` // as in RestoreContacts
	User    provision.User             `json:"user,omitzero"`
	Report  provision.Report           `json:"report,omitzero"`
	// Touched means that the journal does not describe the account before the order, because an earlier run had worked in it.
	Touched bool `json:"touched,omitempty"`
}

// KeepUndo stores the undo, sealed, because it has left something.
func (a *Activities) KeepUndo(ctx context.Context, kept KeptUndo) error {
	return conclude(ctx, a.keepUndo(ctx, kept), provision.StepCompare)
}

func (a *Activities) keepUndo(ctx context.Context, kept KeptUndo) error {
	now, err := a.Leftovers.Assignment(ctx, kept.Order, kept.AccountID)
	if errors.Is(err, provision.ErrNotFound) {
		return nil // the account is not this order's any more
	}
	if err != nil {
		return err
	}
	kept.Kept = &now
	plain, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	sealed, err := a.Sealer.Seal(plain, provision.KeptUndoPurpose(kept.Order, kept.AccountID))
	if err != nil {
		return err
	}
	return a.Leftovers.KeepUndo(ctx, kept.Order, kept.AccountID, sealed)
}

// OpenUndo reads the undo that is stored for the account.
func (a *Activities) OpenUndo(ctx context.Context, removal provision.LeftoverRemoval) (kept KeptUndo, err error) {
	key, sealed, err := a.Leftovers.KeptUndo(ctx, removal.Provider, removal.AccountID)
	if errors.Is(err, provision.ErrNotFound) {
		err = &provision.Failure{Code: provision.CodeOrderNotInProgress,
			Reason: "no undo is stored for account " + removal.AccountID + ", or its leftovers are already removed"}
	}
	if err == nil {
		var plain []byte
		if plain, err = a.Sealer.Open(sealed, provision.KeptUndoPurpose(key, removal.AccountID)); err == nil {
			err = json.Unmarshal(plain, &kept)
		}
	}
	return kept, conclude(ctx, err, provision.StepCompare)
}

// EndRemoval records what is left in the account after a removal.
func (a *Activities) EndRemoval(ctx context.Context, removed provision.LeftoversRemoved) error {
	return conclude(ctx, a.Leftovers.EndRemoval(ctx, removed), provision.StepCompare)
}
