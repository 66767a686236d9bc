package provision

import "errors"

// Why a store or a handler refuses what it was asked for. Match with errors.Is.
var (
	// ErrNotFound says that the thing does not exist, or belongs to another provider.
	ErrNotFound = errors.New("not found")
	// ErrConflict says that the state of the thing, or another thing of the same name, forbids the operation.
	ErrConflict = errors.New("conflict")
	// ErrGone says that the thing existed and was used up, or has expired.
	ErrGone = errors.New("gone")
	// ErrStale says that the thing has changed since the editor read it.
	ErrStale = errors.New("changed since it was read")
	// ErrProtected says that the account is protected: it is a payer account or one of the provider's own.
	ErrProtected = errors.New("protected")
	// ErrUnavailable says that PostgreSQL or Temporal did not answer, or not in time. The call may have taken effect. Nothing is
	// wrong with the call: repeat it.
	ErrUnavailable = errors.New("unavailable")
	// ErrRootEmailTaken says that another account has the root e-mail. It does not reveal which provider owns that account.
	ErrRootEmailTaken = errors.New(RootEmailTaken)
	// ErrUnknownModel says that the account model does not exist.
	ErrUnknownModel = errors.New("no such account model")
)

// RootEmailTaken says why a root e-mail is refused, without revealing which provider owns the other account.
const RootEmailTaken = "another account in stock has this root e-mail: AWS uses an address for the root user of one account only, " +
	"regardless of case; correct the address"

// StateError says that the current state of a thing forbids the operation, and which states would allow it.
type StateError struct{ Reason string }

// Error returns the reason.
func (e *StateError) Error() string { return e.Reason }
