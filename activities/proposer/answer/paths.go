package answer

import (
	"path"
	"regexp"
	"strings"
)

// pathAbove looks for the path of a block or fence in the lines above it, down
// to line low: the next line with text, past a fence line. A line that is
// nothing but a path is one; a sentence may mention one.
func (p *page) pathAbove(i, low int) (path, mention string) {
	for looked := 0; i >= low && looked < 3; i, looked = i-1, looked+1 {
		line := p.lines[i]
		if tick, info := fenceLine(line); tick != "" {
			if path := pathOfInfo(info); path != "" {
				return path, ""
			}
			continue
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		if path := pathAlone(line); path != "" {
			return path, ""
		}
		return "", mentioned(line)
	}
	return "", ""
}

var (
	pathLead = regexp.MustCompile(`(?i)^(\d+[.)]\s+)?(file ?(name|path)?|path|in|edit|modify|modified|update|updated)\s*(:|\s)\s*`)
	pathForm = regexp.MustCompile(`^([A-Za-z]:)?[\w.@/\\+-]*\w\.(go|py|c|h|cu|cc|cpp|js|ts|rs|md|txt|json|jsonl|yaml|yml|toml|sh|s|mod|sum|cfg|ini|tsv|csv)$`)
)

// pathAlone returns the path of a line that says nothing else.
func pathAlone(line string) string {
	line = strings.Trim(line, " \t#*->`'\"")
	if rest, ok := strings.CutPrefix(line, "// "); ok {
		line = rest
	}
	line = searchWord.ReplaceAllString(line, "")
	line = strings.Trim(line, " \t*`'\":")
	line = strings.Trim(pathLead.ReplaceAllString(line, ""), " \t*`'\":(),[]<>")
	if len(line) > 300 || !pathForm.MatchString(line) {
		return ""
	}
	return line
}

// pathOfInfo finds a path in the info of a fence: "go trainer/train.go",
// "go:train.go", "go title=train.go".
func pathOfInfo(info string) string {
	for _, word := range strings.FieldsFunc(info, func(r rune) bool { return strings.ContainsRune(" \t:={},\"'", r) }) {
		if pathForm.MatchString(word) {
			return word
		}
	}
	return ""
}

// mentioned returns the only path that a sentence has.
func mentioned(line string) string {
	found := ""
	for _, word := range strings.Fields(clip(line, 1000)) {
		word = strings.Trim(word, "*`'\".,:;()[]<>")
		if !pathForm.MatchString(word) || word == found {
			continue
		}
		if found != "" {
			return ""
		}
		found = word
	}
	return found
}

// resolve finds the editable file that a written path means: the same, or one
// of them with fewer or more directories in front.
func resolve(written string, files map[string][]byte) (string, bool) {
	written = strings.ReplaceAll(written, `\`, "/")
	if strings.Contains("/"+written+"/", "/../") {
		return "", false
	}
	clean := strings.TrimPrefix(path.Clean("/"+written), "/")
	if _, ok := files[clean]; ok {
		return clean, true
	}
	var found []string
	for _, name := range editable(files) {
		longer := strings.HasSuffix("/"+strings.ToLower(clean), "/"+strings.ToLower(name))
		shorter := clean != "" && strings.HasSuffix("/"+strings.ToLower(name), "/"+strings.ToLower(clean))
		if longer || shorter {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		return "", false
	}
	return found[0], true
}
