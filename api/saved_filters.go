package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/internal/provision"
)

func filterOwner(ctx context.Context) provision.FilterOwner {
	who := callerOf(ctx)
	return provision.FilterOwner{Provider: who.Provider, Caller: who.ID}
}

// ListSavedFilters answers GET /v1/saved-filters.
func (s *service) ListSavedFilters(
	ctx context.Context, _ server.ListSavedFiltersRequestObject,
) (server.ListSavedFiltersResponseObject, error) {
	saved, err := s.SavedFilters.List(ctx, filterOwner(ctx))
	if err != nil {
		return nil, err
	}
	answer := server.ListSavedFilters200JSONResponse{Items: make([]openapi.SavedFilter, len(saved))}
	for i, filter := range saved {
		answer.Items[i] = savedFilter(filter)
	}
	return answer, nil
}

func savedFilter(f provision.SavedFilter) openapi.SavedFilter {
	return openapi.SavedFilter{Name: f.Name, Page: f.Page, Query: f.Query, SavedAt: f.SavedAt.UTC()}
}

// SaveFilter answers PUT /v1/saved-filters/{name}.
func (s *service) SaveFilter(ctx context.Context, in server.SaveFilterRequestObject) (server.SaveFilterResponseObject, error) {
	saved, err := s.SavedFilters.Save(ctx, filterOwner(ctx), provision.SavedFilter{Name: in.Name, Page: in.Body.Page, Query: in.Body.Query})
	if err != nil {
		return nil, err
	}
	return server.SaveFilter200JSONResponse(savedFilter(saved)), nil
}

// filterRules checks that the query of a filter can be parsed.
func filterRules(_ context.Context, body []byte) (broken []provision.FieldError, _ error) {
	var form struct {
		Query string `json:"query"`
	}
	_ = json.Unmarshal(body, &form) // as in orderRules
	if _, err := url.ParseQuery(form.Query); err != nil {
		broken = append(broken, provision.FieldError{Field: "query",
			Message: fmt.Sprintf("cannot be read (%s): separate parameters by &, write %% as %%25 and ; as %%3B", err)})
	}
	return broken, nil
}

// DeleteSavedFilter answers DELETE /v1/saved-filters/{name}.
func (s *service) DeleteSavedFilter(
	ctx context.Context, in server.DeleteSavedFilterRequestObject,
) (server.DeleteSavedFilterResponseObject, error) {
	err := s.SavedFilters.Delete(ctx, filterOwner(ctx), in.Name)
	if errors.Is(err, provision.ErrNotFound) {
		return nil, notFound(fmt.Sprintf("saved filter %q", in.Name), err)
	}
	if err != nil {
		return nil, err
	}
	return server.DeleteSavedFilter204Response{}, nil
}
