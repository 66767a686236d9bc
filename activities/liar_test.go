package activities

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"

	"quartermaster/internal/awssim"
)

// liar stands between the SDK and the simulator. It answers what a guard asks with what the guard hopes to hear, or swallows a
// call: so a guard is switched off without a branch in the product.
type liar struct {
	sim  *awssim.Sim
	told atomic.Pointer[lies]
}

// lies are by operation.
type lies map[string]lie

// lie makes AWS's answer to a call. truth asks AWS itself.
type lie func(sim *awssim.Sim, truth func() *httptest.ResponseRecorder) *httptest.ResponseRecorder

// tell begins to lie; no lies: the truth.
func (l *liar) tell(off lies) { l.told.Store(&off) }

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	told := l.told.Load()
	if told == nil || len(*told) == 0 {
		l.sim.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	tale, ok := (*told)[operationOf(r, body)]
	if !ok {
		l.sim.ServeHTTP(w, r)
		return
	}
	answer := tale(l.sim, func() *httptest.ResponseRecorder {
		recorder := httptest.NewRecorder()
		l.sim.ServeHTTP(recorder, r)
		return recorder
	})
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

var actionOf = regexp.MustCompile(`(?:^|&)Action=(\w+)`)

// operationOf reads the operation from a request as far as the lies need it: of S3 only what they lie about.
func operationOf(r *http.Request, body []byte) string {
	if action := actionOf.FindSubmatch(body); action != nil {
		return string(action[1])
	}
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		return target[strings.LastIndexByte(target, '.')+1:]
	}
	path := strings.TrimPrefix(r.URL.Path, "/")
	_, key, _ := strings.Cut(path, "/")
	switch {
	case r.Method == http.MethodPost && path != "":
		return strings.ToUpper(path[:1]) + path[1:]
	case r.Method == http.MethodGet && r.URL.Query().Has("tagging"):
		return "GetBucketTagging"
	case r.Method == http.MethodGet && r.URL.Query().Has("versions"):
		return "ListObjectVersions"
	case r.Method == http.MethodDelete && key != "":
		return "DeleteObject"
	}
	return ""
}

// swallow lets a call reach nobody and calls it done.
func swallow(*awssim.Sim, func() *httptest.ResponseRecorder) *httptest.ResponseRecorder {
	return httptest.NewRecorder()
}

// answer is always the same.
func answer(body string) lie {
	return func(*awssim.Sim, func() *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		recorder := httptest.NewRecorder()
		_, _ = recorder.WriteString(body)
		return recorder
	}
}

// rewrite changes the answer of AWS where it has one.
func rewrite(change func(body string) string) lie {
	return func(_ *awssim.Sim, truth func() *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		recorder := truth()
		if recorder.Code != http.StatusOK {
			return recorder
		}
		told := httptest.NewRecorder()
		_, _ = told.WriteString(change(recorder.Body.String()))
		return told
	}
}

// rewriteJSON is rewrite for a member of a JSON answer.
func rewriteJSON(member string, change func(fields map[string]any)) lie {
	return rewrite(func(body string) string {
		var document map[string]map[string]any
		if err := json.Unmarshal([]byte(body), &document); err != nil {
			panic(fmt.Sprintf("the simulator answers %s: %v", body, err))
		}
		change(document[member])
		told, err := json.Marshal(document)
		if err != nil {
			panic(err)
		}
		return string(told)
	})
}

var (
	userTagsXML = regexp.MustCompile(`<Tags>.*</Tags>`)
	userIDXML   = regexp.MustCompile(`<UserId>\w+</UserId>`)
	keyXML      = regexp.MustCompile(`<Key>[^<]*</Key>`)
)

// ourTagsXML are the tags of what the order makes.
func ourTagsXML(w Assignment, element string) string {
	var text strings.Builder
	for _, t := range w.tags() {
		fmt.Fprintf(&text, "<%s><Key>%s</Key><Value>%s</Value></%s>", element, t.key, t.value, element)
	}
	return text.String()
}

// everyUserIsOurs calls whatever user is asked for tagged by the order.
func everyUserIsOurs(w Assignment) lie {
	return rewrite(func(body string) string {
		return strings.Replace(userTagsXML.ReplaceAllString(body, ""), "</User>", "<Tags>"+ourTagsXML(w, "member")+"</Tags></User>", 1)
	})
}

// everyReportIsOurs does the same for exports and legacy reports: each reads the member that it knows.
func everyReportIsOurs(w Assignment) lie {
	var tags []map[string]string
	for _, t := range w.tags() {
		tags = append(tags, map[string]string{"Key": t.key, "Value": t.value})
	}
	body, err := json.Marshal(map[string]any{"ResourceTags": tags, "Tags": tags})
	if err != nil {
		panic(err)
	}
	return answer(string(body))
}

func everyBucketIsOurs(w Assignment) lie {
	return answer("<Tagging><TagSet>" + ourTagsXML(w, "Tag") + "</TagSet></Tagging>")
}

// theAliasIs answers that the account has the alias; empty: none.
func theAliasIs(alias string) lie {
	member := ""
	if alias != "" {
		member = "<member>" + alias + "</member>"
	}
	return answer("<ListAccountAliasesResponse><ListAccountAliasesResult><AccountAliases>" + member +
		"</AccountAliases><IsTruncated>false</IsTruncated></ListAccountAliasesResult></ListAccountAliasesResponse>")
}
