package awssim

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// AdminHandler serves the requests of those who operate the simulator, such as tests in another process:
//
//	GET    /_sim/accounts          the accounts with their state, e-mail and alias
//	GET    /_sim/accounts/{id}     an account's whole state, see Snapshot
//	GET    /_sim/effects           every change of state; ?account= filters, ?after=N leaves the first N out
//	GET    /_sim/requests          every request; the same filters
//	GET    /_sim/faults            the fault rules with their counters
//	POST   /_sim/faults            adds a rule (a Fault as JSON; delay in nanoseconds or as "200ms") and answers with its id
//	DELETE /_sim/faults/{id}       takes a rule away
//	DELETE /_sim/faults            takes all rules away
//
// It needs a listener of its own, because AWS has no such paths.
func (s *Sim) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_sim/accounts", s.adminAccounts)
	mux.HandleFunc("GET /_sim/accounts/{id}", s.adminAccount)
	mux.HandleFunc("GET /_sim/effects", func(w http.ResponseWriter, r *http.Request) {
		answerLog(w, r, s.Effects(), func(e Effect) string { return e.AccountID })
	})
	mux.HandleFunc("GET /_sim/requests", func(w http.ResponseWriter, r *http.Request) {
		answerLog(w, r, s.Requests(), func(e Request) string { return e.AccountID })
	})
	mux.HandleFunc("GET /_sim/faults", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, http.StatusOK, s.Faults()) })
	mux.HandleFunc("POST /_sim/faults", s.adminInject)
	mux.HandleFunc("DELETE /_sim/faults", func(w http.ResponseWriter, _ *http.Request) {
		for _, f := range s.Faults() {
			s.removeFault(f.ID)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("DELETE /_sim/faults/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.Atoi(r.PathValue("id"))
		if err != nil || !s.removeFault(id) {
			answerProblem(w, http.StatusNotFound, "there is no fault "+r.PathValue("id"))
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// ActiveFault is a fault rule with its counters.
type ActiveFault struct {
	ID      int   `json:"id"`
	Fault   Fault `json:"fault"`
	Matched int   `json:"matched"` // requests that matched
	Fired   int   `json:"fired"`   // requests that it replaced or changed
}

// Faults returns the active rules, oldest first.
func (s *Sim) Faults() []ActiveFault {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]ActiveFault, len(s.faults))
	for i, r := range s.faults {
		out[i] = ActiveFault{ID: r.id, Fault: r.fault, Matched: r.matched, Fired: r.fired}
	}
	return out
}

func (s *Sim) adminAccounts(w http.ResponseWriter, _ *http.Request) {
	type summary struct {
		ID    string `json:"id"`
		Name  string `json:"name,omitempty"`
		Email string `json:"email"`
		State string `json:"state"`
		Alias string `json:"alias,omitempty"`
		Users int    `json:"users"`
	}
	s.mu.Lock()
	out := make([]summary, 0, len(s.accounts))
	for _, id := range keys(s.accounts) {
		a := s.accounts[id].current
		out = append(out, summary{a.ID, a.Name, a.Email, a.State, a.Alias, len(a.Users)})
	}
	s.mu.Unlock()
	answerJSON(w, http.StatusOK, out)
}

func (s *Sim) adminAccount(w http.ResponseWriter, r *http.Request) {
	snapshot := s.Snapshot(r.PathValue("id"))
	if snapshot == nil {
		answerProblem(w, http.StatusNotFound, "account "+r.PathValue("id")+" is not in the simulator")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(snapshot) //nolint:gosec // JSON from our own encoder, served as JSON; ignore the error: the client may be gone
}

func (s *Sim) adminInject(w http.ResponseWriter, r *http.Request) {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	var body struct {
		Fault
		Delay json.RawMessage `json:"delay"` // shadows the embedded field
	}
	if err := decoder.Decode(&body); err != nil {
		answerProblem(w, http.StatusBadRequest, "the fault is not understood: "+err.Error())
		return
	}
	if len(body.Delay) > 0 {
		delay, err := readDelay(body.Delay)
		if err != nil {
			answerProblem(w, http.StatusBadRequest, "delay must be nanoseconds or a duration such as \"200ms\": "+err.Error())
			return
		}
		body.Fault.Delay = delay
	}
	id, err := s.inject(body.Fault)
	if err != nil {
		answerProblem(w, http.StatusBadRequest, err.Error())
		return
	}
	answerJSON(w, http.StatusCreated, map[string]int{"id": id})
}

func readDelay(raw json.RawMessage) (time.Duration, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return time.ParseDuration(text)
	}
	var nanoseconds int64
	err := json.Unmarshal(raw, &nanoseconds)
	return time.Duration(nanoseconds), err
}

// answerLog writes a log, filtered by the query.
func answerLog[T any](w http.ResponseWriter, r *http.Request, all []T, account func(T) string) {
	after, wanted := 0, r.URL.Query().Get("account")
	if text := r.URL.Query().Get("after"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			answerProblem(w, http.StatusBadRequest, "after "+strconv.Quote(text)+" must be a number of entries to leave out")
			return
		}
		after = n
	}
	out := []T{}
	for _, entry := range all[min(after, len(all)):] {
		if wanted == "" || account(entry) == wanted {
			out = append(out, entry)
		}
	}
	answerJSON(w, http.StatusOK, out)
}

func answerProblem(w http.ResponseWriter, status int, message string) {
	answerJSON(w, status, map[string]string{"error": message})
}

func answerJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(body) // ignore the error: the client may be gone
}
