package api

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"quartermaster/internal/provision"
)

// Models are the account models that orders, accounts and pools may name.
type Models interface {
	List(ctx context.Context) ([]provision.AccountModel, error)
}

// modelsFor is how long the models are cached. A model that is added to the database works within that time.
const modelsFor = time.Minute

// modelCache keeps the models that were read last.
type modelCache struct {
	mu     sync.Mutex
	known  []provision.AccountModel
	readAt time.Time
}

// knownModels returns the known models. It reads them from the database at most once a minute.
func (s *service) knownModels(ctx context.Context) ([]provision.AccountModel, error) {
	s.models.mu.Lock()
	defer s.models.mu.Unlock()
	if len(s.models.known) > 0 && s.Now().Sub(s.models.readAt) < modelsFor {
		return s.models.known, nil
	}
	found, err := s.Models.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("account models: %w", err)
	}
	s.models.known, s.models.readAt = found, s.Now()
	return found, nil
}

// modelNames returns the ids of the known models.
func (s *service) modelNames(ctx context.Context) ([]provision.Model, error) {
	known, err := s.knownModels(ctx)
	return provision.ModelIDs(known), err
}

// unknownModel reports a model that is not in the database. An empty model is not reported.
func (s *service) unknownModel(ctx context.Context, field string, model provision.Model) ([]provision.FieldError, error) {
	if model == "" {
		return nil, nil
	}
	known, err := s.modelNames(ctx)
	if err != nil || slices.Contains(known, model) {
		return nil, err
	}
	return []provision.FieldError{{
		Field: field, Message: fmt.Sprintf("%q is not an account model: use %s", model, provision.JoinWords(known, "or")),
	}}, nil
}
