package api

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/google/uuid"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/api/resource"
	"quartermaster/internal/provision"
	"quartermaster/internal/stockcsv"
)

// ImportAccounts answers POST /v1/account-imports. It starts the workflow before it stores the file, so that every stored
// file has a workflow; a workflow that finds no file ends.
func (s *service) ImportAccounts(ctx context.Context, in server.ImportAccountsRequestObject) (server.ImportAccountsResponseObject, error) {
	uploaded, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, err
	}
	file, err := stockcsv.Scan(uploaded)
	if refused, ok := errors.AsType[*stockcsv.FileError](err); ok {
		return nil, invalidFields(openapi.FieldProblem{In: "body", Field: resource.Optional(refused.Column), Message: refused.Error()})
	}
	if err != nil {
		return nil, err
	}
	who := callerOf(ctx)
	key := provision.ImportKey{Provider: who.Provider, ID: uuid.NewString()}
	if err := s.Workflows.StartImport(ctx, key); err != nil {
		return nil, err
	}
	kept, err := s.Imports.Create(ctx, provision.NewImport{ImportKey: key, Actor: who.Actor(), DryRun: value(in.Params.DryRun),
		File: file.Text, Rows: file.Rows, NextOffset: file.First.Offset, NextLine: file.First.Line})
	if err != nil {
		return nil, err
	}
	s.importKept(ctx, key)
	return server.ImportAccounts202JSONResponse{Body: resource.AccountImport(kept),
		Headers: server.ImportAccounts202ResponseHeaders{Location: s.basePath + "/v1/account-imports/" + key.ID}}, nil
}

// importKept is a hint: the workflow looks for its file within a minute.
func (s *service) importKept(ctx context.Context, key provision.ImportKey) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wakeTimeout)
	defer cancel()
	if err := s.Workflows.ImportKept(ctx, key); err != nil {
		s.Log.WarnContext(ctx, "could not tell an import that its file is stored; it looks within a minute", "import", key.String(), "error", err)
	}
}

// ListAccountImports answers GET /v1/account-imports.
func (s *service) ListAccountImports(
	ctx context.Context, in server.ListAccountImportsRequestObject,
) (server.ListAccountImportsResponseObject, error) {
	imports, next, err := list[provision.ImportCursor, provision.AccountImport, openapi.AccountImport]{
		valid: func(c provision.ImportCursor) bool { return plausible(c.StartedAt) && uuid.Validate(c.ID) == nil },
		read: func(after *provision.ImportCursor, limit int) ([]provision.AccountImport, error) {
			return s.Imports.List(ctx, callerOf(ctx).Provider, limit, after)
		},
		show: resource.AccountImport,
		place: func(i provision.AccountImport) provision.ImportCursor {
			return provision.ImportCursor{StartedAt: i.StartedAt.UTC(), ID: i.ID}
		},
	}.page(in.Params.Cursor, in.Params.Limit)
	if err != nil {
		return nil, err
	}
	return server.ListAccountImports200JSONResponse{Items: imports, NextCursor: next}, nil
}

// GetAccountImport answers GET /v1/account-imports/{import_id}.
func (s *service) GetAccountImport(
	ctx context.Context, in server.GetAccountImportRequestObject,
) (server.GetAccountImportResponseObject, error) {
	found, err := s.Imports.Get(ctx, provision.ImportKey{Provider: callerOf(ctx).Provider, ID: in.ImportID})
	if err != nil {
		return nil, importProblem(in.ImportID, err)
	}
	return server.GetAccountImport200JSONResponse(resource.AccountImport(found)), nil
}

// importProblem turns an error about an import into what the caller is told.
func importProblem(id string, err error) error {
	if errors.Is(err, provision.ErrNotFound) {
		return notFound("import "+id, err)
	}
	return err
}

// ListAccountImportResults answers GET /v1/account-imports/{import_id}/results.
func (s *service) ListAccountImportResults(
	ctx context.Context, in server.ListAccountImportResultsRequestObject,
) (server.ListAccountImportResultsResponseObject, error) {
	key := provision.ImportKey{Provider: callerOf(ctx).Provider, ID: in.ImportID}
	results, next, err := list[provision.ImportResultCursor, provision.RowResult, openapi.RowResult]{
		valid: func(c provision.ImportResultCursor) bool {
			return c.Line > 0 && c.Line <= stockcsv.MaxBytes && c.Nth >= 0 && c.Nth <= stockcsv.MaxRow
		},
		read: func(after *provision.ImportResultCursor, limit int) ([]provision.RowResult, error) {
			found, err := s.Imports.Results(ctx, key, provision.ImportResultFilter{Outcomes: value(in.Params.Outcome), Limit: limit, After: after})
			return found, importProblem(in.ImportID, err)
		},
		show: func(r provision.RowResult) openapi.RowResult {
			return openapi.RowResult{
				Line: r.Line, Outcome: r.Outcome, AccountID: resource.Optional(r.AccountID),
				Column: resource.Optional(r.Column), ColumnPosition: resource.Optional(r.Position), Message: resource.Optional(r.Message),
			}
		},
		place: func(r provision.RowResult) provision.ImportResultCursor {
			return provision.ImportResultCursor{Line: r.Line, Nth: r.Nth}
		},
	}.page(in.Params.Cursor, in.Params.Limit)
	if err != nil {
		return nil, err
	}
	return server.ListAccountImportResults200JSONResponse{Items: results, NextCursor: next}, nil
}

// GetAccountImportTemplate answers GET /v1/account-imports/template.
func (s *service) GetAccountImportTemplate(
	context.Context, server.GetAccountImportTemplateRequestObject,
) (server.GetAccountImportTemplateResponseObject, error) {
	return server.GetAccountImportTemplate200TextCsvResponse{Body: strings.NewReader(stockcsv.Template()),
		Headers: server.GetAccountImportTemplate200ResponseHeaders{ContentDisposition: `attachment; filename="accounts-template.csv"`}}, nil
}
