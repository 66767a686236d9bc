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

// proxy is between the SDK and the simulator, and alters AWS's answers. A test can disable a guard this way, without a branch in the
// product: the guard's read gets the answer that it accepts, or a call does not reach AWS.
type proxy struct {
	sim *awssim.Sim
	now atomic.Pointer[alterations]
}

// alterations are the altered answers by operation.
type alterations map[string]alteration

// alteration returns the answer to a call. ask sends the call to the simulator.
type alteration func(sim *awssim.Sim, ask func() *httptest.ResponseRecorder) *httptest.ResponseRecorder

// alter replaces the alterations; nil removes them.
func (l *proxy) alter(answers alterations) { l.now.Store(&answers) }

func (l *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := l.now.Load()
	if now == nil || len(*now) == 0 {
		l.sim.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	alter, ok := (*now)[operationOf(r, body)]
	if !ok {
		l.sim.ServeHTTP(w, r)
		return
	}
	answer := alter(l.sim, func() *httptest.ResponseRecorder {
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

// operationOf returns the operation of a request; of S3 only the operations that tests alter.
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

// swallow answers with success and does not send the call.
func swallow(*awssim.Sim, func() *httptest.ResponseRecorder) *httptest.ResponseRecorder {
	return httptest.NewRecorder()
}

// answer always gives the same answer.
func answer(body string) alteration {
	return func(*awssim.Sim, func() *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		recorder := httptest.NewRecorder()
		_, _ = recorder.WriteString(body)
		return recorder
	}
}

// rewrite changes the successful answers of AWS.
func rewrite(change func(body string) string) alteration {
	return func(_ *awssim.Sim, ask func() *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		recorder := ask()
		if recorder.Code != http.StatusOK {
			return recorder
		}
		changed := httptest.NewRecorder()
		_, _ = changed.WriteString(change(recorder.Body.String()))
		return changed
	}
}

// rewriteJSON is rewrite for a member of a JSON answer.
func rewriteJSON(member string, change func(fields map[string]any)) alteration {
	return rewrite(func(body string) string {
		var document map[string]map[string]any
		if err := json.Unmarshal([]byte(body), &document); err != nil {
			panic(fmt.Sprintf("the simulator answers %s: %v", body, err))
		}
		change(document[member])
		changed, err := json.Marshal(document)
		if err != nil {
			panic(err)
		}
		return string(changed)
	})
}

var (
	userTagsXML = regexp.MustCompile(`<Tags>.*</Tags>`)
	userIDXML   = regexp.MustCompile(`<UserId>\w+</UserId>`)
	keyXML      = regexp.MustCompile(`<Key>[^<]*</Key>`)
)

// ourTagsXML returns the tags of the order's resources.
func ourTagsXML(w Assignment, element string) string {
	var text strings.Builder
	for _, t := range w.tags() {
		fmt.Fprintf(&text, "<%s><Key>%s</Key><Value>%s</Value></%s>", element, t.key, t.value, element)
	}
	return text.String()
}

// everyUserIsOurs adds the order's tags to every user.
func everyUserIsOurs(w Assignment) alteration {
	return rewrite(func(body string) string {
		return strings.Replace(userTagsXML.ReplaceAllString(body, ""), "</User>", "<Tags>"+ourTagsXML(w, "member")+"</Tags></User>", 1)
	})
}

// everyReportIsOurs does the same for exports and legacy reports, each of which has its own member for tags.
func everyReportIsOurs(w Assignment) alteration {
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

func everyBucketIsOurs(w Assignment) alteration {
	return answer("<Tagging><TagSet>" + ourTagsXML(w, "Tag") + "</TagSet></Tagging>")
}

// theAliasIs answers that the account has the alias, or none when it is empty.
func theAliasIs(alias string) alteration {
	member := ""
	if alias != "" {
		member = "<member>" + alias + "</member>"
	}
	return answer("<ListAccountAliasesResponse><ListAccountAliasesResult><AccountAliases>" + member +
		"</AccountAliases><IsTruncated>false</IsTruncated></ListAccountAliasesResult></ListAccountAliasesResponse>")
}
