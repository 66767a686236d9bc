package console

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"quartermaster/api/openapi"
)

// Times of live updates.
const (
	liveCheck = 15 * time.Second // how often to check that the session still lives
	liveWrite = 10 * time.Second // a slower browser is disconnected
)

// live answers GET /{provider}/live: it reads the API's event stream with the rights of the session, and passes on that something has
// changed, and what. The page then reads itself again, so that what a browser sees is what the person may see. The ids of the API's
// stream are passed on, so that a browser that reconnects misses nothing.
func live(p *page) error {
	ctx, cancel := context.WithCancel(p.ctx())
	defer cancel()
	params := &openapi.StreamEventsParams{}
	if id := p.Query("order_id"); id != "" {
		params.OrderID = &id
	}
	if last := p.r.Header.Get("Last-Event-ID"); last != "" {
		params.LastEventID = &last
	}
	stream, err := p.API.StreamEvents(ctx, params)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Body.Close() }()
	if stream.StatusCode != http.StatusOK {
		// The browser does not try again after this answer; the page reads itself by the clock instead.
		p.w.WriteHeader(stream.StatusCode)
		return nil
	}
	out := http.NewResponseController(p.w)
	p.w.Header().Set("Content-Type", "text/event-stream")
	p.w.Header().Set("X-Accel-Buffering", "no")
	p.w.WriteHeader(http.StatusOK)
	_ = out.SetReadDeadline(time.Time{}) // an error means that there is none
	go p.endWithSession(ctx, cancel)
	lines := bufio.NewScanner(stream.Body)
	lines.Buffer(nil, maxForm)
	var event, id string
	for lines.Scan() {
		line := lines.Text()
		var text string
		switch name, value, _ := strings.Cut(line, ": "); {
		case name == "id":
			id = value
			continue
		case name == "event":
			event = value
			continue
		case name == "data" && event != "":
			text = fmt.Sprintf("id: %s\nevent: changed\ndata: %s\n\n", id, changed(event, value))
			event = ""
		case name == "retry":
			text = line + "\n\n"
		case line == "" || line == ":":
			text = ": \n\n"
		default:
			continue
		}
		_ = out.SetWriteDeadline(time.Now().Add(liveWrite))
		if _, err := p.w.Write([]byte(text)); err != nil || out.Flush() != nil {
			break // the browser has gone
		}
	}
	return nil
}

// endWithSession ends the stream when the session ends.
func (p *page) endWithSession(ctx context.Context, end context.CancelFunc) {
	check := time.NewTicker(liveCheck)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-check.C:
			if _, err := p.console.session(ctx, p.Session.Hash); err != nil {
				end()
				return
			}
		}
	}
}

// changed says what an event is about: its type, and the id of the order, account or alert. It has nothing that a page would have to
// escape, because the page only compares it.
func changed(event, data string) string {
	var about struct {
		Data struct {
			OrderID   string `json:"order_id"`
			AccountID string `json:"account_id"`
		} `json:"data"`
	}
	_ = json.Unmarshal([]byte(data), &about) // what is no JSON names nothing
	text, _ := json.Marshal(map[string]string{"type": event, "order": about.Data.OrderID, "account": about.Data.AccountID})
	return string(text)
}
