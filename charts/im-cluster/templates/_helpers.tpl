{{- define "im-cluster.name" -}}
{{- .Values.name | default .Release.Name }}
{{- end }}

{{- define "im-cluster.labels" -}}
app.kubernetes.io/instance: {{ include "im-cluster.name" . }}
app.kubernetes.io/part-of: im-cluster
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "im-cluster.image" -}}
{{- with .Values.image }}
{{- .repository }}
{{- if .tag }}:{{ .tag }}{{ else if not .digest }}:{{ $.Chart.AppVersion }}{{ end }}
{{- if .digest }}@{{ .digest }}{{ end }}
{{- end }}
{{- end }}

{{- define "im-cluster.makesAuthSecret" -}}
{{- if not (or .Values.spec.auth .Values.auth.existingSecret) }}true{{ end }}
{{- end }}

{{- /* The spec as the values have it, and what they leave to the chart. */}}
{{- define "im-cluster.spec" -}}
{{- $name := include "im-cluster.name" . }}
{{- $spec := deepCopy .Values.spec }}
{{- if not $spec.image }}{{ $_ := set $spec "image" (include "im-cluster.image" .) }}{{ end }}
{{- if not $spec.auth }}
{{- $ref := dict "name" (printf "%s-auth" $name) "key" "secret" }}
{{- with .Values.auth.existingSecret }}{{ $ref = dict "name" . "key" $.Values.auth.existingSecretKey }}{{ end }}
{{- $_ := set $spec "auth" (dict "mode" "secret" "secretRef" $ref) }}
{{- end }}
{{- $redis := $spec.redis | default dict }}
{{- if not (or $redis.url $redis.urlSecretRef) }}
{{- if not .Values.tryout.enabled }}
{{- fail "set spec.redis.url, or spec.redis.urlSecretRef for a URL with a password; or tryout.enabled=true for a Redis and a NATS to try things out" }}
{{- end }}
{{- $_ := set $redis "url" (printf "redis://%s-redis.%s.svc:6379" $name .Release.Namespace) }}
{{- end }}
{{- $_ := set $spec "redis" $redis }}
{{- $nats := $spec.nats | default dict }}
{{- if not $nats.servers }}
{{- if not .Values.tryout.enabled }}
{{- fail "set spec.nats.servers, like --set 'spec.nats.servers={nats://nats.example:4222}'; or tryout.enabled=true for a Redis and a NATS to try things out" }}
{{- end }}
{{- $_ := set $nats "servers" (list (printf "nats://%s-nats.%s.svc:4222" $name .Release.Namespace)) }}
{{- end }}
{{- $_ := set $spec "nats" $nats }}
{{- toYaml $spec }}
{{- end }}

{{- define "im-cluster.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 999
  runAsGroup: 999
  fsGroup: 999
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "im-cluster.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  capabilities:
    drop: [ALL]
  readOnlyRootFilesystem: true
{{- end }}
