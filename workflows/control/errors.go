package control

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"quartermaster/internal/provision"
)

func isNotFound(err error) bool { return is[*serviceerror.NotFound](err) }

// is reports whether an error of type E is in the chain of err.
func is[E error](err error) bool {
	_, found := errors.AsType[E](err)
	return found
}

// unavailable wraps an error of Temporal in provision.ErrUnavailable if a repeat may succeed: the call may or may not have taken
// effect, or the namespace is not set up yet.
func unavailable(err error) error {
	if is[*serviceerror.Unavailable](err) || is[*serviceerror.DeadlineExceeded](err) || is[*serviceerror.ResourceExhausted](err) ||
		is[*serviceerror.Canceled](err) || temporal.IsCanceledError(err) ||
		is[*serviceerror.WorkflowNotReady](err) || // a workflow task failed while it held the update
		is[*client.WorkflowUpdateServiceTimeoutOrCanceledError](err) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		namespaceNotReady(err) {
		return fmt.Errorf("%w: %w", provision.ErrUnavailable, err)
	}
	return err
}

// namespaceNotReady reports whether Temporal refused a call because of the namespace: it does not exist yet, it lacks a search
// attribute, or it is moving to another cluster. Temporal has no code for a missing search attribute, only a text.
// Source: temporalio/temporal, common/namespace/namespace.go, common/searchattribute/validator.go.
func namespaceNotReady(err error) bool {
	if refused, ok := errors.AsType[*serviceerror.InvalidArgument](err); ok {
		return strings.Contains(refused.Message, "no mapping defined for search attribute") ||
			strings.Contains(refused.Message, "search attribute") && strings.Contains(refused.Message, "is not defined")
	}
	return is[*serviceerror.NamespaceNotFound](err) || is[*serviceerror.NamespaceUnavailable](err) ||
		is[*serviceerror.NamespaceInvalidState](err) || is[*serviceerror.NamespaceNotActive](err)
}
