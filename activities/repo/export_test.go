package repo

// Dir is where a repository lies.
func Dir(r *Repo) string { return r.dir }
