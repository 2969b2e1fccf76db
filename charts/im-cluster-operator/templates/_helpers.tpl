{{- define "im-cluster-operator.name" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride }}
{{- else if contains .Chart.Name .Release.Name }}{{ .Release.Name }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "im-cluster-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.name }}{{ .Values.serviceAccount.name }}
{{- else if .Values.serviceAccount.create }}{{ include "im-cluster-operator.name" . }}
{{- else }}{{ fail "serviceAccount.create=false needs serviceAccount.name: the ServiceAccount that the operator runs as" }}
{{- end }}
{{- end }}

{{- define "im-cluster-operator.image" -}}
{{- with .Values.image }}
{{- .repository }}
{{- if .tag }}:{{ .tag }}{{ else if not .digest }}:{{ $.Chart.AppVersion }}{{ end }}
{{- if .digest }}@{{ .digest }}{{ end }}
{{- end }}
{{- end }}

{{- define "im-cluster-operator.selector" -}}
app.kubernetes.io/name: im-cluster-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "im-cluster-operator.labels" -}}
{{ include "im-cluster-operator.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: im-cluster
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* The rights in the namespaces that are watched: each verb is one that the operator calls. */}}
{{- define "im-cluster-operator.rules" -}}
# The finalizer is a patch of the ImCluster.
- apiGroups: [imcluster.io]
  resources: [imclusters]
  verbs: [list, watch, patch]
- apiGroups: [imcluster.io]
  resources: [imclusters/status]
  verbs: [patch]
# To be set as an owner that blocks its deletion (OwnerReferencesPermissionEnforcement).
- apiGroups: [imcluster.io]
  resources: [imclusters/finalizers]
  verbs: [update]
# Server-side apply is patch, and create for what is not there.
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
# By name only, as spec.redis.urlSecretRef and spec.listeners.tls say; which names is not known before.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, list, patch]
{{- end }}
