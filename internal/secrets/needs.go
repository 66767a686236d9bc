package secrets

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/google/uuid"

	"quartermaster/internal/provision"
)

// Uses is what the status of the keys needs of the database.
type Uses interface {
	// List lists what the database knows about each key that has sealed something.
	List(ctx context.Context) ([]provision.SealKeyUse, error)
}

// Workflows is what the status of the keys needs of Temporal.
type Workflows interface {
	// StartedBefore counts the workflows that were started before the given time.
	StartedBefore(ctx context.Context, at time.Time) (provision.StartedWorkflows, error)
}

// Statuses reads what needs each key that has sealed something. RotationOf fills in the other fields.
func Statuses(ctx context.Context, uses Uses, workflows Workflows) (keys []KeyStatus, err error) {
	used, err := uses.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, use := range used {
		k := KeyStatus{SealKeyUse: use}
		if use.LastUsedAt != nil {
			started, err := workflows.StartedBefore(ctx, use.LastUsedAt.Add(time.Minute)) // the last use is recorded some seconds late
			if err != nil {
				return nil, err
			}
			k.OpenOrders = max(k.OpenOrders, started.OpenOrders) // some orders have no row yet, and others were reset
			k.OpenWorkflows, k.LastClosedAt = started.OpenOthers, started.LastClosedAt
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// missingTimeout bounds how long LogMissing asks.
const missingTimeout = 20 * time.Second

// LogMissing logs an error for each key that the ring lacks although something still needs it. The process runs
// nevertheless: a rollback must be possible, and what this process cannot open waits for one that can.
func (r *Ring) LogMissing(ctx context.Context, uses Uses, workflows Workflows, log *slog.Logger) {
	asking, cancel := context.WithTimeout(ctx, missingTimeout)
	defer cancel()
	keys, err := Statuses(asking, uses, workflows)
	if ctx.Err() != nil {
		return // the process stops
	}
	if err != nil {
		log.WarnContext(ctx, "could not check whether this process lacks a seal key that is still needed; run `quartermaster seal-keys status`",
			"error", err)
		return
	}
	for _, k := range keys {
		if needed := k.Needed(); needed != "" && !r.Has(k.ID) {
			log.ErrorContext(ctx, "this process lacks a seal key that is still needed; "+
				"what the key sealed waits for a process that has it: put the key back, behind the first key of QM_SEAL_KEYS",
				"key", k.ID, "needed_by", needed)
		}
	}
}

// ThisProcess describes this process to the other processes of the product.
func ThisProcess(kind provision.ProcessKind, version string) provision.Process {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return provision.Process{ID: uuid.NewString(), Kind: kind, Host: host, PID: os.Getpid(), Version: version}
}
