package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
)

// exportPage is how many items an export reads at once.
const exportPage = 500

// export is an answer that is a CSV file of items. It holds one page at a time.
type export[T any] struct {
	ctx   context.Context //nolint:containedctx // of the request, which the answer belongs to
	log   *slog.Logger
	name  string                           // of the file
	read  func(after *T) ([]T, error)      // reads exportPage items after the given one; nil: from the start
	write func(out io.Writer) rowWriter[T] // begins the file
	page  []T
}

// rowWriter writes items as the rows of a CSV file. Flush returns the first error of all writes.
type rowWriter[T any] interface {
	Write(item T)
	Flush() error
}

// begin reads the first page before the answer starts, so that an unreachable database results in a problem and not in half a file.
func (e *export[T]) begin() (err error) {
	e.page, err = e.read(nil)
	return err
}

// send writes the items page by page. An error after the first page aborts the connection, because half a file that ends properly
// would look complete.
func (e *export[T]) send(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
	w.Header().Set("Content-Disposition", `attachment; filename="`+e.name+`"`)
	w.WriteHeader(http.StatusOK)
	if wantsNoBody(e.ctx) {
		return nil
	}
	out := e.write(w)
	for {
		for _, item := range e.page {
			out.Write(item)
		}
		if err := out.Flush(); err != nil {
			e.abort(slog.LevelInfo, err) // the caller has hung up, or reads too slowly
		}
		if len(e.page) < exportPage {
			return nil
		}
		page, err := e.read(&e.page[len(e.page)-1])
		if err != nil {
			level := slog.LevelError
			if errors.Is(err, context.Canceled) {
				level = slog.LevelInfo // as above
			}
			e.abort(level, err)
		}
		e.page = page
	}
}

// abort breaks the connection.
func (e *export[T]) abort(level slog.Level, err error) {
	e.log.Log(context.WithoutCancel(e.ctx), level, "an export was aborted", "error", err)
	panic(http.ErrAbortHandler)
}
